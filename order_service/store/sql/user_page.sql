-- A page of a user's orders, newest first; ids are in order of time, so the page goes on below the last id seen.
select o.id::text as id, l.snapshot, c.document as contacts
from orders o
join order_log l on l.order_id = o.id and l.version = o.version
left join order_contacts c on c.order_id = o.id and c.version = o.contacts_version
where o.user_id = :user_id
    and o.id < coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    and (:status::text is null or o.status = :status)
order by o.user_id, o.id desc
limit :limit
