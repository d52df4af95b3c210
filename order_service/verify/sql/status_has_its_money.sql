-- A status tells of money: goods are promised or sent only for what is paid in full, and refunded means all of it.
select o.id as order_id, null as subject, null as stands,
    format('%s (%s) with %s of %s captured, %s back', o.status, o.payment_status, o.captured, o.total, o.refunded)
        as detail
from orders o
where (:only::uuid[] is null or o.id = any(:only)) and case
    when o.status in ('pending', 'payment_pending', 'payment_failed') then o.captured <> 0
    when o.status in ('confirmed', 'processing') then
        o.captured <> o.total or (o.total > 0 and o.refunded >= o.captured)
        or (o.payment_status = 'none') <> (o.total = 0)
    when o.status in ('shipped', 'delivered') then
        o.captured <> o.total or (o.payment_status = 'none') <> (o.total = 0)
    when o.status = 'refunded' then o.captured = 0 or o.refunded <> o.captured
    when o.status = 'cancelled' then o.captured > 0 and o.refunded = o.captured
    else true
end
