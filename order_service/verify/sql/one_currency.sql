-- Where the ledger tells a currency, it is that of the order.
select o.id as order_id, e.reference as subject, null as stands,
    format('%s: %s at the partner, %s here', e.reference, e.currency, o.currency) as detail
from money_entries e
join orders o on o.id = e.order_id
where e.currency is not null and upper(e.currency) <> o.currency and (:only::uuid[] is null or e.order_id = any(:only))
