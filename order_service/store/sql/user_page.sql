-- A page of a user's orders, newest first; ids are in order of time, so the page goes on below the last id seen.
select o.id::text as id, l.snapshot, c.document as contacts
from (
    select w.user_id, w.id, w.version, w.contacts_version
    from orders w
    where w.user_id = :user_id
        and w.id < coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        and (:status::text is null or w.status = :status)
    order by w.user_id, w.id desc
    limit :limit
) o
cross join lateral (
    select w.snapshot from order_log w where w.order_id = o.id and w.version = o.version limit 1
) l
left join lateral (
    select w.document from order_contacts w where w.order_id = o.id and w.version = o.contacts_version limit 1
) c on true
order by o.user_id, o.id desc
