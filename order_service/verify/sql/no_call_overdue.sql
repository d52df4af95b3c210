-- Calls that are owed, the deferred ones left out until they are due: somebody makes each of them soon.
select c.order_id, c.subject, case
        when c.lease_until < now() - make_interval(secs => :overdue_s) then 'violation'
        when c.kind = 'late_check' then 'none'
        else 'in flight'
    end as stands,
    format('%s %s is due since %s, sent %s times', c.kind, c.subject, c.lease_until, c.attempts) as detail
from partner_calls c
where c.state = 'open' and (:only::uuid[] is null or c.order_id = any(:only))
    and (c.kind <> 'late_check' or c.lease_until < now() - make_interval(secs => :overdue_s))
