-- A page of a user's orders, newest first; ids are in order of time, so the page goes on below the last id seen.
select o.id::text as id, l.snapshot, c.document as contacts
from orders o
cross join lateral (
    select w.snapshot from order_log w where w.order_id = o.id and w.version = o.version limit 1
) l
left join lateral (
    select w.document from order_contacts w where w.order_id = o.id and w.version = o.contacts_version limit 1
) c on true
where o.user_id = :user_id
    and o.id < coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    and (:status::text is null or o.status = :status)
order by o.user_id, o.id desc
limit :limit
