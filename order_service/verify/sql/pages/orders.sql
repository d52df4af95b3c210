-- The next orders by id, all of them or some, as the books have them.
select id, status, stock, payment_status, currency, subtotal, shipping_cost, tax, discount, total, captured, refunded,
    version, event_sequence, log_hash
from orders
where (:after::uuid is null or id > :after) and (:only::uuid[] is null or id = any(:only))
order by id
limit :limit
