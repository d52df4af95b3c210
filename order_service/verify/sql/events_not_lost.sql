-- Every event of the log behind the relay's cursor is in the topic, unless it is older than what the topic keeps.
select e.order_id, null as subject, case when p.order_id is not null then 'parked' end as stands,
    format('event %s (version %s) is not in the topic', e.sequence, e.version) as detail
from expected_events e
left join parked_streams p on p.reader = 'relay' and p.order_id = e.order_id and p.version <= e.version
where (e.epoch, e.xid, e.place) <= (:epoch::int, :xid::text::xid8, :place::bigint)
    and (:since::timestamptz is null or e.at > :since)
    and (:only::uuid[] is null or e.order_id = any(:only))
    and not exists (select from topic_records t where t.order_id = e.order_id and t.sequence = e.sequence)
