-- Money that we believe to have come or gone, of which the ledger knows nothing.
select a.order_id, a.reference as subject, null as stands,
    format('%s: captured here, no charge at the partner', a.reference) as detail
from payment_attempts a
where (a.status = 'captured' or a.surplus > 0) and a.amount > 0
    and (:only::uuid[] is null or a.order_id = any(:only))
    and not exists (select from money_entries e where e.reference = a.reference and e.kind = 'charge')
union all
select r.order_id, r.reference, null, format('%s: given back here, no refund at the partner', r.reference)
from refunds r
where r.status = 'succeeded' and (:only::uuid[] is null or r.order_id = any(:only))
    and not exists (select from money_entries e where e.reference = r.reference and e.kind = 'refund')
