-- The changes of an order's status, oldest first.
select version, from_status, to_status, actor, reason, correlation_id, at
from order_history
where order_id = :id::uuid
order by version
