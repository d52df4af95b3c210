-- Charges of the ledger against the attempts of the same reference: what was captured, or kept as surplus.
select a.order_id, a.reference as subject, null as stands,
    format('%s: %s captured by the partner, %s by us (%s)', a.reference, l.amount, s.ours, a.status) as detail
from (
    select reference, sum(amount) as amount from money_entries
    where kind = 'charge' and (:only::uuid[] is null or order_id = any(:only)) group by reference
) l
join payment_attempts a on a.reference = l.reference
cross join lateral (select case when a.status = 'captured' then a.amount else a.surplus end as ours) s
where l.amount is distinct from s.ours
