-- Goods that the inventory holds, or has sent, under a reservation that ours does not know as such.
select h.order_id, h.reference as subject, null as stands,
    format('%s: %s at the inventory, %s here', h.reference, h.state,
        coalesce(r.status, case when o.id is null then 'no such order' else 'no such reservation' end)) as detail
from holds h
left join our_reservations r on r.reservation_id = h.reference
left join orders o on o.id = h.order_id
where h.state in ('held', 'gone') and (r.status is null or r.status not in ('reserved', 'committing', 'committed'))
    -- An order whose log cannot be read says nothing of its reservations.
    and (o.id is null or exists (select from our_reservations x where x.order_id = o.id))
    and (:only::uuid[] is null or h.order_id = any(:only))
