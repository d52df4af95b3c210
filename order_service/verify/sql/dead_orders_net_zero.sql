-- By the ledger, an order that is not alive has cost its customer nothing but what people settled outside.
select o.id as order_id, null as subject, null as stands,
    format('%s, and the partner keeps %s', o.status, n.net - o.settled_outside - s.outside) as detail
from (
    select order_id, sum(case kind when 'charge' then amount else -amount end) as net
    from money_entries
    where kind in ('charge', 'refund') and (:only::uuid[] is null or order_id = any(:only)) group by order_id
) n
join orders o on o.id = n.order_id
cross join lateral (
    select coalesce(sum(r.amount), 0) as outside from refunds r
    where r.order_id = o.id and r.surplus and r.status = 'settled_outside'
) s
where o.status in ('pending', 'payment_failed', 'cancelled', 'refunded') and n.net > o.settled_outside + s.outside
