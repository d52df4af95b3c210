-- Stops an order's stream from a version on, because a record of it is refused for good.
insert into parked_streams (reader, order_id, version, error)
values (:reader, :order_id::uuid, :version, :error)
on conflict do nothing
