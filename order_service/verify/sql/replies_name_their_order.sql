-- A key is bound to an order that is there, and to an attempt or refund of it that is there.
select k.order_id, null as subject, null as stands, format('%s %s: %s', k.route, k.key, f.fault) as detail
from idempotency_keys k
left join orders o on o.id = k.order_id
cross join lateral (select case
    when o.id is null then 'there is no such order'
    when k.asked_kind = 'place' and not exists (
        select from order_log l where l.order_id = o.id and l.version = 1 and l.decision_id = k.decision_id
    ) then 'the order was placed by another request'
    when k.asked_kind = 'pay' and k.asked_number > (
        select count(*) from payment_attempts a where a.order_id = o.id
    ) then 'there is no such attempt'
    when k.asked_kind in ('refund', 'put_refunded') and k.asked_number > (
        select count(*) from refunds r where r.order_id = o.id
    ) then 'there is no such refund'
    when k.response_status is not null and not k.response_problem
        and position(convert_to(o.id::text, 'UTF8') in k.response_body) = 0 then 'the reply tells of another order'
end as fault) f
where f.fault is not null and (:only::uuid[] is null or k.order_id = any(:only))
