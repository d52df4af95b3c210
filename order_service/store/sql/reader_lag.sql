-- Seconds since the oldest event behind a reader's cursor was written; null when everything is read.
select extract(epoch from now() - min(t.at))::float8
from log_readers r
cross join lateral (
    select l.at from order_log l
    where (l.epoch, l.xid, l.position) > (r.epoch, r.xid, r.position)
    order by l.epoch, l.xid, l.position
    limit 1
) t
where r.name = :name
