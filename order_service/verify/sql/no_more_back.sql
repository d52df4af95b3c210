-- The ledger in its own order: at no moment has an order got back more than it had paid.
select distinct on (order_id) order_id, null as subject, null as stands,
    format('%s: %s more went back than had come', reference, -balance) as detail
from (
    select order_id, seq, reference,
        sum(case kind when 'charge' then amount when 'refund' then -amount else 0 end)
            over (partition by order_id order by seq) as balance
    from money_entries
    where order_id is not null and (:only::uuid[] is null or order_id = any(:only))
) running
where balance < 0
order by order_id, seq
