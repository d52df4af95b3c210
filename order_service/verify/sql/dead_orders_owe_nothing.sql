-- By our own books, all money of a cancelled or refunded order is back, on its way back, or settled outside.
select o.id as order_id, null as subject, null as stands,
    format('%s with %s captured and %s back', o.status, o.captured, o.refunded) as detail
from orders o
where o.status in ('cancelled', 'refunded') and o.captured <> o.refunded + o.settled_outside
    and (:only::uuid[] is null or o.id = any(:only))
