-- Where everything stands as the verification begins: changes from here on are work in flight.
select pg_snapshot_xmin(pg_current_snapshot())::text as began, coalesce(r.epoch, 0) as epoch,
    coalesce(r.xid, '0'::xid8)::text as xid, coalesce(r.position, 0) as place
from (select) one
left join log_readers r on r.name = 'relay'
