-- A person has seen to it: the order's stream goes on from where it was parked.
update parked_streams set resume = true where reader = :reader and order_id = :order_id::uuid
