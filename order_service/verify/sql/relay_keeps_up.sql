-- Events in front of the relay's cursor: under way while they are young.
select e.order_id, null as subject, case
        when p.order_id is not null then 'parked'
        when e.at < now() - make_interval(secs => :relay_s) then 'violation'
        else 'in flight'
    end as stands,
    format('event %s is not sent after %s s', e.sequence, extract(epoch from now() - e.at)::int) as detail
from expected_events e
left join parked_streams p on p.reader = 'relay' and p.order_id = e.order_id and p.version <= e.version
where (e.epoch, e.xid, e.place) > (:epoch::int, :xid::text::xid8, :place::bigint)
    and (:only::uuid[] is null or e.order_id = any(:only))
