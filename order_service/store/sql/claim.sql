-- Leases calls that are due, the longest due first. Every replica runs this all the time: there is no other rescue.
with due as materialized (
    select id
    from partner_calls
    where state = 'open' and lease_until <= now() and (:kinds::text[] is null or kind = any(:kinds))
    order by lease_until
    limit :limit
    for update skip locked
), leased as (
    update partner_calls c
    set token = c.token + 1, attempts = c.attempts + 1,
        lease_until = now() + make_interval(secs => :lease_s)
    where c.id = any(array(select id from due))
    returning
        c.id, c.order_id, c.kind, c.subject, c.key, c.request, c.token, c.attempts,
        coalesce(c.drop_at <= now(), false) as late, extract(epoch from now() - c.created_at)::float8 as age_s
)
select
    d.id::text as call_id, d.order_id::text as order_id, d.kind, d.subject, d.key, d.request, d.token, d.attempts,
    d.late, d.age_s, l.correlation_id, l.traceparent
from leased d
cross join lateral (
    select w.correlation_id, w.traceparent from order_log w
    where w.order_id = d.order_id
    order by w.version desc
    limit 1
) l
