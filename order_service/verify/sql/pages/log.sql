-- The log of the orders of a page, and of whatever lies between them without an order.
select order_id, version, decision_id::text as decision_id, message, snapshot, change, actor, reason, correlation_id,
    traceparent, at, first_sequence, events, contacts_hash, prev_hash, hash, epoch, xid::text as xid, position
from order_log
where (:after::uuid is null or order_id > :after) and (:upto::uuid is null or order_id <= :upto)
    and (:only::uuid[] is null or order_id = any(:only))
order by order_id, version
