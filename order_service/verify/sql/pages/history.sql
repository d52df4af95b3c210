-- The history of the orders of a page, and of whatever lies between them without an order.
select order_id, version, from_status, to_status, actor, reason, correlation_id, at
from order_history
where (:after::uuid is null or order_id > :after) and (:upto::uuid is null or order_id <= :upto)
    and (:only::uuid[] is null or order_id = any(:only))
order by order_id, version
