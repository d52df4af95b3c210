-- What we call reserved is held by the inventory, until it is sent.
select r.order_id, r.reservation_id as subject, null as stands,
    format('%s: %s here, %s at the inventory', r.reservation_id, r.status, coalesce(h.state, 'never held')) as detail
from our_reservations r
left join holds h on h.reference = r.reservation_id
where r.newest and r.order_status in ('pending', 'payment_pending', 'payment_failed', 'confirmed', 'processing')
    and r.status in ('reserved', 'committing', 'committed') and h.state is distinct from 'held'
    and (:only::uuid[] is null or r.order_id = any(:only))
