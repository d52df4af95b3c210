-- Every record of the topic is an event of the log.
select t.order_id, null as subject, null as stands,
    format('record %s (partition %s, offset %s) is no event of the log', t.event_id, t.partition, t.place) as detail
from topic_records t
where (:only::uuid[] is null or t.order_id = any(:only))
    and not exists (select from expected_events e where e.order_id = t.order_id and e.sequence = t.sequence)
