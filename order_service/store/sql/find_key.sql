-- What Idempotency-Keys are bound to. Each is looked up by itself: a join could be planned over the whole table.
select
    a.principal, a.route, a.key, k.fingerprint, k.order_id::text as order_id, k.asked_kind, k.asked_number,
    k.asked_unchanged, k.busy_until > now() as busy, k.response_status, k.response_body, k.response_version,
    k.response_problem
from unnest(:principals::text[], :routes::text[], :keys::text[]) as a (principal, route, key)
cross join lateral (
    select * from idempotency_keys w
    where (w.principal, w.route, w.key) = (a.principal, a.route, a.key)
    limit 1
) k
