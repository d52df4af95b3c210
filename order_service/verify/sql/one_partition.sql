-- All events of an order are in one partition.
select order_id, null as subject, null as stands, format('its events are in %s partitions', count(distinct partition))
    as detail
from topic_records
where order_id is not null and (:only::uuid[] is null or order_id = any(:only))
group by order_id
having count(distinct partition) > 1
