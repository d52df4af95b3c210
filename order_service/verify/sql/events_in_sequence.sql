-- In the topic, an order's events first appear as 1, 2, 3 and so on; a topic that forgets may begin later.
select distinct on (order_id) order_id, null as subject, null as stands,
    format('event %s stands where %s was expected', sequence, wanted) as detail
from (
    select order_id, sequence, first_place,
        row_number() over (partition by order_id order by first_place)
            + case when :since::timestamptz is null then 0 else min(sequence) over (partition by order_id) - 1 end
            as wanted
    from (
        select order_id, sequence, min(place) as first_place from topic_records
        where order_id is not null and (:only::uuid[] is null or order_id = any(:only))
        group by order_id, sequence
    ) f
) n
where sequence <> wanted
    and (select count(distinct t.partition) from topic_records t where t.order_id = n.order_id) = 1
order by order_id, first_place
