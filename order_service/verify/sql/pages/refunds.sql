-- The refunds of the orders of a page.
select order_id, refund, reference, attempt, amount, status, surplus
from refunds
where (:after::uuid is null or order_id > :after) and (:upto::uuid is null or order_id <= :upto)
    and (:only::uuid[] is null or order_id = any(:only))
order by order_id, refund
