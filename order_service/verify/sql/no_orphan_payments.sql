-- Charges and refunds of the ledger under a reference that is not ours, or that is another order's.
select e.order_id, e.reference as subject, null as stands,
    format('%s of %s under %s, which %s', e.kind, e.amount, coalesce(e.reference, 'no reference'),
        case when x.order_id is null then 'is not ours' else 'belongs to order ' || x.order_id end) as detail
from money_entries e
left join lateral (
    select a.order_id from payment_attempts a where e.kind = 'charge' and a.reference = e.reference
    union all
    select r.order_id from refunds r where e.kind = 'refund' and r.reference = e.reference
) x on true
where e.kind in ('charge', 'refund') and (x.order_id is null or x.order_id::text <> coalesce(e.told, x.order_id::text))
    and (:only::uuid[] is null or e.order_id = any(:only))
