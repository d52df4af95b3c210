-- Writes any number of decisions, each whole or not at all, and says of each what became of it.
--
-- The gates form a chain, each reading only what passed the one before: version under lock, then the lease of the
-- answered call, then the Idempotency-Key; a gate beside the chain would burn the key of a decision that is stale.
-- Rows that somebody else holds are skipped, never waited for; keys are bound in the order of the keys, so that two
-- statements cannot wait for each other. (`exists` would be planned as a hash of the whole table: hence no `exists`.)
--
-- What stands between `--? part` and `--.` is left out of a statement that writes nothing of that part, as a part costs
-- its plan and its triggers even when it is empty; behind `--:` is what stands in its place then.
with entry as materialized (
    select * from unnest(:entry::commit_entry[]) as e
),
--? key
key as materialized (
    select * from unnest(:key::commit_key[]) as k
),
--.
--? order
state as materialized (
    select * from unnest(:state::commit_state[]) as s
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
    from unnest(:fresh::commit_fresh[]) as f
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
    from unnest(:log::commit_log[]) as l
    join passed p on p.n = l.n
),
--.
--? new
itemised as (
    insert into order_items (order_id, line, product_id, sku, name, quantity, unit_price, total)
    select p.order_id, i.line, i.product_id, i.sku, i.name, i.quantity, i.unit_price, i.total
    from unnest(:item::commit_item[]) as i
    join passed p on p.n = i.n
),
--.
--? new
addressed as (
    insert into order_contacts (order_id, version, document, salt)
    select p.order_id, c.version, c.document, c.salt
    from unnest(:contact::commit_contact[]) as c
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
    from unnest(:attempt::commit_attempt[]) as a
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
    from unnest(:token::commit_token[]) as t
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
    from unnest(:refund::commit_refund[]) as r
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
    from unnest(:call::commit_call[]) as c
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
    from unnest(:end::commit_end[]) as x
    join passed p on p.n = x.n
    where c.id = x.call_id and c.state in ('open', 'parked')
),
--.
--? replies
remembered as (
    update idempotency_keys k
    set response_status = r.status, response_body = r.body, response_version = r.version,
        response_problem = r.problem, busy_until = least(k.busy_until, now())
    from unnest(:reply::commit_reply[]) as r
    join passed p on p.n = r.n
    where (k.principal, k.route, k.key) = (r.principal, r.route, r.key) and k.response_status is null
),
--.
told as (
    select r.n, r.verdict, now() as at from result r
)
select t.n, t.verdict, t.at from told t
