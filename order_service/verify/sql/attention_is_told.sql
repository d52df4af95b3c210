-- An order says that a person is needed exactly where one is: a parked call or a failed refund.
select o.id as order_id, null as subject,
    case when (o.attention is null) = (p.calls = 0 and r.failed = 0) or (p.calls = 0 and o.attention is null)
        then 'parked' else 'violation' end as stands,
    case when o.attention is null then format('%s calls are parked, and nobody is asked', p.calls)
        else format('%s (%s)', o.attention, o.status) end as detail
from orders o
left join lateral (
    select count(*) as calls from partner_calls c where c.order_id = o.id and c.state = 'parked'
) p on true
left join lateral (
    select count(*) as failed from refunds r where r.order_id = o.id and r.status = 'failed'
) r on true
where (o.attention is not null or p.calls > 0) and (:only::uuid[] is null or o.id = any(:only))
