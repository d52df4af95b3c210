-- Everything that was held back of the order is sent.
delete from parked_streams where reader = :reader and order_id = :order_id::uuid
