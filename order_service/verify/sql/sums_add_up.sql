-- An order's sums are those of its lines, attempts and refunds.
select o.id as order_id, null as subject, null as stands, f.fault as detail
from orders o
left join lateral (
    select sum(i.total) as total, count(*) as lines, count(*) filter (where i.total <> i.quantity * i.unit_price) as wrong
    from order_items i where i.order_id = o.id
) i on true
left join lateral (
    select coalesce(sum(a.amount) filter (where a.status = 'captured'), 0) as captured,
        count(*) filter (where a.amount <> o.total) as other
    from payment_attempts a where a.order_id = o.id
) a on true
left join lateral (
    select coalesce(sum(r.amount) filter (where r.status = 'succeeded'), 0) as refunded,
        coalesce(sum(r.amount) filter (where r.status in ('requested', 'pending')), 0) as in_flight,
        coalesce(sum(r.amount) filter (where r.status = 'settled_outside'), 0) as outside
    from refunds r where r.order_id = o.id and not r.surplus
) r on true
cross join lateral (select case
    when o.total <> o.subtotal + o.shipping_cost + o.tax - o.discount then 'the total is not the sum of its parts'
    when i.lines = 0 or i.total <> o.subtotal then 'the lines do not add up to the subtotal'
    when i.wrong > 0 then 'a line is not quantity times price'
    when a.other > 0 then 'an attempt asks for another amount than the total'
    when a.captured <> o.captured then 'captured is not the sum of the attempts'
    when r.refunded <> o.refunded then 'refunded is not the sum of the refunds'
    when r.in_flight <> o.refund_in_flight then 'the refunds under way are not those of the order'
    when r.outside <> o.settled_outside then 'settled outside is not the sum of the refunds'
    when o.refunded + o.refund_in_flight + o.settled_outside > o.captured then 'more is promised back than captured'
end as fault) f
where f.fault is not null and (:only::uuid[] is null or o.id = any(:only))
