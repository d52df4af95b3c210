-- The lines of the orders of a page.
select order_id, line, product_id, quantity, unit_price, total
from order_items
where (:after::uuid is null or order_id > :after) and (:upto::uuid is null or order_id <= :upto)
    and (:only::uuid[] is null or order_id = any(:only))
order by order_id, line
