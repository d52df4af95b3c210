-- What an Idempotency-Key is bound to.
select
    fingerprint, order_id::text as order_id, asked_kind, asked_number, asked_unchanged, busy_until > now() as busy,
    response_status, response_body, response_version, response_problem
from idempotency_keys
where (principal, route, key) = (:principal, :route, :key)
