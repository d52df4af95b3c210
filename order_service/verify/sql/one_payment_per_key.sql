-- The payment service did everything once per key.
select order_id, max(reference) as subject, null as stands, format('%s %s took effect %s times', kind, key, count(*))
    as detail
from money_entries
where key is not null and (:only::uuid[] is null or order_id = any(:only))
group by order_id, kind, key
having count(*) > 1
