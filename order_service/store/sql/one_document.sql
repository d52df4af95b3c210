-- Some orders as they are now, for the API. Each is looked up by itself: a join could be planned over whole tables.
select o.id::text as id, o.user_id, o.version, l.snapshot, c.document as contacts
from unnest(:ids::uuid[]) as a (id)
cross join lateral (select * from orders w where w.id = a.id limit 1) o
cross join lateral (
    select w.snapshot from order_log w where w.order_id = o.id and w.version = o.version limit 1
) l
left join lateral (
    select w.document from order_contacts w where w.order_id = o.id and w.version = o.contacts_version limit 1
) c on true
