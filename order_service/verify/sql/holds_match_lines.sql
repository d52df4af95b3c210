-- What the inventory holds, or has booked as gone, is what the order's lines ask for.
select coalesce(l.order_id, w.order_id) as order_id, coalesce(l.reference, w.reference) as subject, null as stands,
    format('%s: %s of %s held, %s ordered', coalesce(l.reference, w.reference), coalesce(l.quantity, 0),
        coalesce(l.product_id, w.product_id), coalesce(w.quantity, 0)) as detail
from (
    select h.order_id, h.reference, e.product_id, sum(e.quantity) as quantity
    from holds h
    join stock_entries e on e.reference = h.reference and e.kind = 'reserve'
    where h.kinds in ('reserve', 'reserve commit') and (:only::uuid[] is null or h.order_id = any(:only))
    group by h.order_id, h.reference, e.product_id
) l
full join (
    select h.order_id, h.reference, i.product_id, sum(i.quantity) as quantity
    from holds h
    join order_items i on i.order_id = h.order_id
    where h.kinds in ('reserve', 'reserve commit') and (:only::uuid[] is null or h.order_id = any(:only))
    group by h.order_id, h.reference, i.product_id
) w on w.reference = l.reference and w.product_id = l.product_id
where l.quantity is distinct from w.quantity
    and exists (select from orders o where o.id = coalesce(l.order_id, w.order_id))
