-- Orders whose timer has passed, or that wait for a time and have no timer.
select o.id as order_id, null as subject, null as stands,
    case when o.timer_at is null then format('%s without a timer', o.status)
        else format('%s, due since %s', o.status, o.timer_at) end as detail
from orders o
where (o.timer_at < now() - make_interval(secs => :overdue_s)
        or (o.timer_at is null and o.status in ('pending', 'payment_failed')))
    and (:only::uuid[] is null or o.id = any(:only))
