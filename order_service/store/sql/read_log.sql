-- The next rows of the log behind a cursor. Rows become visible in another order than that of their positions, so only
-- those are read that no running transaction can still precede: below the horizon, or of an older epoch, which is over.
-- A row without events comes without its snapshot. `sound` tells that the version before it was read before it, and
-- that numbers and hashes go on where that one ended.
select
    l.order_id::text as order_id, l.version, l.epoch, l.xid::text as xid, l.position,
    case when cardinality(l.events) > 0 then l.snapshot end as snapshot,
    case when cardinality(l.events) > 0 then l.change end as change,
    case when :personal::boolean and cardinality(l.events) > 0 then (
        select c.document from order_contacts c
        where c.order_id = l.order_id and c.version <= l.version
        order by c.version desc limit 1
    ) end as contacts,
    l.correlation_id, l.traceparent, l.at, l.first_sequence, l.events,
    case when l.version = 1 then l.first_sequence = 1
    else coalesce(
        (p.epoch, p.xid, p.position) < (l.epoch, l.xid, l.position)
        and p.first_sequence + cardinality(p.events) = l.first_sequence
        and p.hash = l.prev_hash,
        false
    ) end as sound
from order_log l
cross join log_epoch e
left join lateral (
    select * from order_log w where w.order_id = l.order_id and w.version = l.version - 1 limit 1
) p on true
where (l.epoch, l.xid, l.position) > (:epoch::int, :xid::text::xid8, :position::bigint)
    and (l.epoch < e.epoch or l.xid < pg_snapshot_xmin(pg_current_snapshot()))
order by l.epoch, l.xid, l.position
limit :limit
