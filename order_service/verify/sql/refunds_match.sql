-- Refunds of the ledger against ours of the same reference.
select r.order_id, r.reference as subject, null as stands,
    format('%s: %s given back by the partner, %s by us (%s)', r.reference, l.amount, s.ours, r.status) as detail
from (
    select reference, sum(amount) as amount from money_entries
    where kind = 'refund' and (:only::uuid[] is null or order_id = any(:only)) group by reference
) l
join refunds r on r.reference = l.reference
cross join lateral (select case when r.status = 'succeeded' then r.amount else 0 end as ours) s
where l.amount is distinct from s.ours
