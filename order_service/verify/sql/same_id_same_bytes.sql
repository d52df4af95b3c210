-- A record that comes again has the bytes it had the first time.
select order_id, null as subject, null as stands, format('%s came with %s contents', event_id, count(distinct bytes))
    as detail
from topic_records
where (:only::uuid[] is null or order_id = any(:only))
group by order_id, event_id
having count(distinct bytes) > 1
