-- What a reader held back of one order: its versions from one on, as far as the reader has got with all orders.
select
    l.order_id::text as order_id, l.version, l.epoch, l.xid::text as xid, l.position, l.snapshot, l.change,
    case when :personal::boolean then (
        select c.document from order_contacts c
        where c.order_id = l.order_id and c.version <= l.version
        order by c.version desc limit 1
    ) end as contacts,
    l.correlation_id, l.traceparent, l.at, l.first_sequence, l.events
from order_log l
where l.order_id = :order_id::uuid and l.version >= :version
    and (l.epoch, l.xid, l.position) <= (:epoch::int, :xid::text::xid8, :position::bigint)
order by l.version
