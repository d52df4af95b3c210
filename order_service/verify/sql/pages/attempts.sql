-- The payment attempts of the orders of a page.
select order_id, attempt, reference, status, amount, payment_id, surplus
from payment_attempts
where (:after::uuid is null or order_id > :after) and (:upto::uuid is null or order_id <= :upto)
    and (:only::uuid[] is null or order_id = any(:only))
order by order_id, attempt
