-- Writes any number of decisions, each whole or not at all, and says of each what became of it.
--
-- The gates form a chain, each reading only what passed the one before: version under lock, then the lease of the
-- answered call, then the Idempotency-Key; a gate beside the chain would burn the key of a decision that is stale.
-- Rows that somebody else holds are skipped, never waited for; keys are bound in the order of the keys, so that two
-- statements cannot wait for each other. (`exists` would be planned as a hash of the whole table: hence no `exists`.)
--
-- What stands between `--? part` and `--.` is left out of a statement that writes nothing of that part, as a part costs
-- its plan, its arrays and its triggers even when it is empty; behind `--:` is what stands in its place then.
with entry as materialized (
    select * from unnest(
        :entry_n::int[], :entry_order_id::uuid[], :entry_decision_id::uuid[], :entry_gate::text[],
        :entry_version::int[], :entry_revision::int[], :entry_order_number::text[],
        :entry_call_id::uuid[], :entry_call_token::bigint[]
    ) as e (n, order_id, decision_id, gate, version, revision, order_number, call_id, call_token)
),
--? key
key as materialized (
    select * from unnest(
        :key_n::int[], :key_principal::text[], :key_route::text[], :key_key::text[], :key_fingerprint::bytea[],
        :key_asked_kind::text[], :key_asked_number::int[], :key_asked_unchanged::boolean[], :key_busy_s::float8[],
        :key_status::int[], :key_body::bytea[], :key_version::int[], :key_problem::boolean[]
    ) as k (n, principal, route, key, fingerprint, asked_kind, asked_number, asked_unchanged, busy_s,
            status, body, version, problem)
),
--.
--? order
state as materialized (
    select * from unnest(
        :state_n::int[], :state_status::text[], :state_stock::text[], :state_payment_status::text[],
        :state_captured::bigint[], :state_refunded::bigint[], :state_refund_in_flight::bigint[],
        :state_settled_outside::bigint[], :state_version::int[], :state_updated_at::timestamptz[],
        :state_expires_at::timestamptz[], :state_timer_at::timestamptz[], :state_attention::text[],
        :state_contacts_version::int[], :state_event_sequence::int[], :state_log_hash::bytea[]
    ) as s (n, status, stock, payment_status, captured, refunded, refund_in_flight, settled_outside, version,
            updated_at, expires_at, timer_at, attention, contacts_version, event_sequence, log_hash)
),
--.
-- Gate 1: the order as it was decided on, locked.
own as materialized (
    select o.id, o.version, o.revision
    from orders o
    where o.id = any(array(select e.order_id from entry e where e.gate = 'changed'))
    for no key update skip locked
),
lease as materialized (
    select c.id, c.token, c.state
    from partner_calls c
    where c.id = any(array(select e.call_id from entry e where e.call_id is not null))
    for no key update skip locked
),
-- Gates 1 and 2; a number that is taken is seen here, before its order's key is bound.
judged as materialized (
    select e.n, e.order_id, e.decision_id, e.gate, case
        when e.gate = 'changed' and o.id is null then 'locked'
        when e.gate = 'changed' and (o.version, o.revision) <> (e.version, e.revision) then 'stale'
        when e.gate = 'new' and (select true from orders x where x.id = e.order_id) then 'stale'
        when e.gate = 'new' and (select true from orders x where x.order_number = e.order_number) then 'number_taken'
        when e.call_id is not null and c.id is null then 'locked'
        when c.token <> e.call_token or c.state <> 'open' then 'call_gone'
        else 'applied'
    end as verdict
    from entry e
    left join own o on o.id = e.order_id
    left join lease c on c.id = e.call_id
),
-- Gate 3: the key, first come first served.
--? key
bound as (
    insert into idempotency_keys (
        principal, route, key, fingerprint, order_id, decision_id, asked_kind, asked_number, asked_unchanged,
        busy_until, response_status, response_body, response_version, response_problem
    )
    select
        k.principal, k.route, k.key, k.fingerprint, j.order_id, j.decision_id, k.asked_kind, k.asked_number,
        k.asked_unchanged, now() + make_interval(secs => k.busy_s), k.status, k.body, k.version, k.problem
    from key k
    join judged j on j.n = k.n
    where j.verdict = 'applied'
    order by k.principal, k.route, k.key
    on conflict do nothing
    returning decision_id
),
result as materialized (
    select j.n, case
        when j.verdict = 'applied' and k.n is not null and b.decision_id is null then 'key_taken'
        else j.verdict
    end as verdict
    from judged j
    left join key k on k.n = j.n
    left join bound b on b.decision_id = j.decision_id
),
--:
result as materialized (
    select j.n, j.verdict from judged j
),
--.
passed as materialized (
    select j.n, j.order_id, j.decision_id, j.gate
    from judged j
    join result r on r.n = j.n
    where r.verdict = 'applied'
),
--? new
placed as (
    insert into orders (
        id, order_number, user_id, status, stock, payment_status, currency, subtotal, shipping_cost, tax, discount,
        total, captured, refunded, refund_in_flight, settled_outside, version, revision, created_at, updated_at,
        expires_at, timer_at, attention, contacts_version, event_sequence, log_hash
    )
    select
        p.order_id, f.order_number, f.user_id, s.status, s.stock, s.payment_status, f.currency, f.subtotal,
        f.shipping_cost, f.tax, f.discount, f.total, s.captured, s.refunded, s.refund_in_flight, s.settled_outside,
        s.version, 0, f.created_at, s.updated_at, s.expires_at, s.timer_at, s.attention, s.contacts_version,
        s.event_sequence, s.log_hash
    from unnest(
        :fresh_n::int[], :fresh_order_number::text[], :fresh_user_id::text[], :fresh_currency::text[],
        :fresh_subtotal::bigint[], :fresh_shipping_cost::bigint[], :fresh_tax::bigint[], :fresh_discount::bigint[],
        :fresh_total::bigint[], :fresh_created_at::timestamptz[]
    ) as f (n, order_number, user_id, currency, subtotal, shipping_cost, tax, discount, total, created_at)
    join passed p on p.n = f.n
    join state s on s.n = f.n
    order by f.order_number
),
--.
--? changed
changed as (
    update orders o
    set status = s.status, stock = s.stock, payment_status = s.payment_status, captured = s.captured,
        refunded = s.refunded, refund_in_flight = s.refund_in_flight, settled_outside = s.settled_outside,
        version = s.version, revision = o.revision + 1, updated_at = s.updated_at, expires_at = s.expires_at,
        timer_at = s.timer_at, attention = s.attention, contacts_version = s.contacts_version,
        event_sequence = s.event_sequence, log_hash = s.log_hash
    from passed p
    join state s on s.n = p.n
    where p.gate = 'changed' and o.id = p.order_id
),
--.
--? order
logged as (
    insert into order_log (
        order_id, version, epoch, decision_id, message, snapshot, change, actor, reason, correlation_id, traceparent,
        at, first_sequence, events, contacts_hash, prev_hash, hash
    )
    select
        p.order_id, l.version, (select e.epoch from log_epoch e), p.decision_id, l.message, l.snapshot, l.change,
        l.actor, l.reason, l.correlation_id, l.traceparent, l.at, l.first_sequence, string_to_array(l.events, ','),
        l.contacts_hash, l.prev_hash, l.hash
    from unnest(
        :log_n::int[], :log_version::int[], :log_message::text[], :log_snapshot::text[], :log_change::text[],
        :log_actor::text[], :log_reason::text[], :log_correlation_id::text[], :log_traceparent::text[],
        :log_at::timestamptz[], :log_first_sequence::int[], :log_events::text[], :log_contacts_hash::bytea[],
        :log_prev_hash::bytea[], :log_hash::bytea[]
    ) as l (n, version, message, snapshot, change, actor, reason, correlation_id, traceparent, at, first_sequence,
            events, contacts_hash, prev_hash, hash)
    join passed p on p.n = l.n
),
--.
--? new
itemised as (
    insert into order_items (order_id, line, product_id, sku, name, quantity, unit_price, total)
    select p.order_id, i.line, i.product_id, i.sku, i.name, i.quantity, i.unit_price, i.total
    from unnest(
        :item_n::int[], :item_line::int[], :item_product_id::text[], :item_sku::text[], :item_name::text[],
        :item_quantity::int[], :item_unit_price::bigint[], :item_total::bigint[]
    ) as i (n, line, product_id, sku, name, quantity, unit_price, total)
    join passed p on p.n = i.n
),
--.
--? new
addressed as (
    insert into order_contacts (order_id, version, document, salt)
    select p.order_id, c.version, c.document, c.salt
    from unnest(
        :contact_n::int[], :contact_version::int[], :contact_document::text[], :contact_salt::bytea[]
    ) as c (n, version, document, salt)
    join passed p on p.n = c.n
),
--.
--? money
attempted as (
    insert into payment_attempts (
        order_id, attempt, reference, status, amount, payment_id, decline_code, surplus, at, deadline_at
    )
    select
        p.order_id, a.attempt, a.reference, a.status, a.amount, a.payment_id, a.decline_code, a.surplus, a.at,
        a.deadline_at
    from unnest(
        :attempt_n::int[], :attempt_attempt::int[], :attempt_reference::text[], :attempt_status::text[],
        :attempt_amount::bigint[], :attempt_payment_id::text[],
        :attempt_decline_code::text[], :attempt_surplus::bigint[], :attempt_at::timestamptz[],
        :attempt_deadline_at::timestamptz[]
    ) as a (n, attempt, reference, status, amount, payment_id, decline_code, surplus, at, deadline_at)
    join passed p on p.n = a.n
    on conflict (order_id, attempt) do update
    set status = excluded.status, payment_id = excluded.payment_id, decline_code = excluded.decline_code,
        surplus = excluded.surplus
),
--.
--? token
paid_with as (
    insert into payment_tokens (order_id, attempt, token)
    select p.order_id, t.attempt, t.token
    from unnest(:token_n::int[], :token_attempt::int[], :token_token::text[]) as t (n, attempt, token)
    join passed p on p.n = t.n
),
--.
--? money
given_back as (
    insert into refunds (
        order_id, refund, reference, attempt, amount, status, surplus, reason, refund_id, note, at
    )
    select
        p.order_id, r.refund, r.reference, r.attempt, r.amount, r.status, r.surplus, r.reason, r.refund_id, r.note, r.at
    from unnest(
        :refund_n::int[], :refund_refund::int[], :refund_reference::text[], :refund_attempt::int[],
        :refund_amount::bigint[], :refund_status::text[], :refund_surplus::boolean[], :refund_reason::text[],
        :refund_refund_id::text[], :refund_note::text[], :refund_at::timestamptz[]
    ) as r (n, refund, reference, attempt, amount, status, surplus, reason, refund_id, note, at)
    join passed p on p.n = r.n
    on conflict (order_id, refund) do update
    set amount = excluded.amount, status = excluded.status, refund_id = excluded.refund_id, note = excluded.note,
        at = excluded.at
),
--.
--? order
owed as (
    insert into partner_calls (
        id, order_id, version, ordinal, kind, subject, key, request, attempts, token, lease_until, drop_at, decision_id
    )
    select
        c.id, p.order_id, c.version, c.ordinal, c.kind, c.subject, c.key, c.request, c.attempts, c.token,
        now() + make_interval(secs => c.lease_s), now() + make_interval(secs => c.drop_s), p.decision_id
    from unnest(
        :call_n::int[], :call_id::uuid[], :call_version::int[], :call_ordinal::int[], :call_kind::text[],
        :call_subject::text[], :call_key::text[], :call_request::bytea[], :call_attempts::int[],
        :call_token::bigint[], :call_lease_s::float8[], :call_drop_s::float8[]
    ) as c (n, id, version, ordinal, kind, subject, key, request, attempts, token, lease_s, drop_s)
    join passed p on p.n = c.n
),
--.
--? ended
ended as (
    update partner_calls c
    set state = x.state, parked_code = x.parked_code, parked_since = x.parked_since, outcome = x.outcome,
        token = c.token + 1, attempts = c.attempts + x.attempts,
        lease_until = coalesce(now() + make_interval(secs => x.lease_s), c.lease_until),
        decision_id = p.decision_id,
        finished_at = case when x.state in ('done', 'dropped') then now() end
    from unnest(
        :end_n::int[], :end_call_id::uuid[], :end_state::text[], :end_parked_code::text[],
        :end_parked_since::timestamptz[], :end_outcome::text[], :end_attempts::int[], :end_lease_s::float8[]
    ) as x (n, call_id, state, parked_code, parked_since, outcome, attempts, lease_s)
    join passed p on p.n = x.n
    where c.id = x.call_id and c.state in ('open', 'parked')
),
--.
--? replies
remembered as (
    update idempotency_keys k
    set response_status = r.status, response_body = r.body, response_version = r.version,
        response_problem = r.problem, busy_until = least(k.busy_until, now())
    from unnest(
        :reply_n::int[], :reply_principal::text[], :reply_route::text[], :reply_key::text[], :reply_status::int[],
        :reply_body::bytea[], :reply_version::int[], :reply_problem::boolean[]
    ) as r (n, principal, route, key, status, body, version, problem)
    join passed p on p.n = r.n
    where (k.principal, k.route, k.key) = (r.principal, r.route, r.key) and k.response_status is null
),
--.
told as (
    select r.n, r.verdict, now() as at from result r
)
select t.n, t.verdict, t.at from told t
