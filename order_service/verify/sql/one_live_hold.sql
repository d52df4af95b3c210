-- At most one reservation of an order holds goods or has sent them.
select h.order_id, max(h.reference) as subject, null as stands,
    format('%s reservations hold goods: %s', count(*), string_agg(h.reference, ', ' order by h.reference)) as detail
from holds h
where h.state in ('held', 'gone') and h.order_id is not null and (:only::uuid[] is null or h.order_id = any(:only))
group by h.order_id
having count(*) > 1
