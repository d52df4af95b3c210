-- The log of one order, by id or else by number, oldest version first: what happened, who caused it, what was told.
select l.order_id, o.order_number, l.version, l.at, l.message, l.actor, l.reason, l.correlation_id,
       l.snapshot, l.change, l.first_sequence, l.events
from orders o
join order_log l on l.order_id = o.id
where o.id = coalesce(:id::uuid, (select n.id from orders n where n.order_number = :number))
order by l.version
