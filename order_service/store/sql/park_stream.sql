-- Stops an order's stream from a version on, because a record of it is refused for good.
insert into parked_streams as p (reader, order_id, version, error)
values (:reader, :order_id::uuid, :version, :error)
on conflict (reader, order_id) do update
set version = excluded.version, error = excluded.error, since = now(), resume = false
where p.resume
