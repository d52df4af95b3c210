-- A record of the topic says what the log says, personal data left out.
select t.order_id, null as subject, null as stands,
    format('%s (partition %s, offset %s) differs from the log', t.event_id, t.partition, t.place) as detail
from topic_records t
join expected_events e on e.order_id = t.order_id and e.sequence = t.sequence
where t.sense <> e.sense and (:only::uuid[] is null or t.order_id = any(:only))
