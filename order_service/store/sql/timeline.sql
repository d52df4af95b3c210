-- The log of one order, by id or by number, oldest version first: what happened, who caused it, what was told.
select l.order_id, o.order_number, l.version, l.at, l.message, l.actor, l.reason, l.correlation_id,
       l.snapshot, l.change, l.first_sequence, l.events
from order_log l
join orders o on o.id = l.order_id
where o.id::text = :id or o.order_number = :id
order by l.version
