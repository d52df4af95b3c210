-- One decision made one version, and one call was owed once.
select (array_agg(l.order_id))[1] as order_id, null as subject, null as stands,
    format('decision %s made %s versions', l.decision_id, count(*)) as detail
from order_log l
where :only::uuid[] is null or l.order_id = any(:only)
group by l.decision_id
having count(*) > 1
union all
select (array_agg(c.order_id))[1], null, null, format('%s %s is owed %s times', c.kind, c.key, count(*))
from partner_calls c
where c.kind in ('reserve', 'release', 'commit', 'charge', 'void', 'refund', 'clear_cart')
    and (:only::uuid[] is null or c.order_id = any(:only))
group by c.kind, c.key
having count(*) > 1
