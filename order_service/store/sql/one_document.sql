-- One order as it is now, for the API.
select o.user_id, o.version, l.snapshot, c.document as contacts
from orders o
join order_log l on l.order_id = o.id and l.version = o.version
left join order_contacts c on c.order_id = o.id and c.version = o.contacts_version
where o.id = :id::uuid
