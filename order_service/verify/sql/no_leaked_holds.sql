-- Goods that the inventory holds, or has sent, under a reservation that ours does not know as such.
select h.order_id, h.reference as subject, null as stands,
    format('%s: %s at the inventory, %s here', h.reference, h.state,
        coalesce(r.status, case when o.id is null then 'no such order' else 'no such reservation' end)) as detail
from holds h
left join our_reservations r on r.reservation_id = h.reference
left join orders o on o.id = h.order_id
where h.state in ('held', 'gone') and (r.status is null or r.status not in ('reserved', 'committing', 'committed'))
    and (:only::uuid[] is null or h.order_id = any(:only))
