-- Frames a check: what it found at an order on which work is still being done is no violation yet. A check that knows
-- better says itself how its finding stands. A late check is work too, but what waits for a person does not wait for it.
select f.order_id::text as order_id, f.detail, coalesce(f.stands, case
    when f.order_id is null or not :outside::boolean then 'violation'
    when exists (
        select from partner_calls c
        where c.order_id = f.order_id and c.state = 'open' and c.kind <> 'late_check'
            and (f.subject is null or c.subject = f.subject)
    ) then 'in flight'
    when exists (
        select from order_log l
        where l.order_id = f.order_id and l.xid >= :began::text::xid8 and l.epoch = (select e.epoch from log_epoch e)
    ) then 'in flight'
    when :as_of::timestamptz is not null and exists (
        select from orders o where o.id = f.order_id and o.updated_at >= :as_of
    ) then 'in flight'
    when exists (
        select from orders o
        where o.id = f.order_id and o.attention is not null and (f.subject is null or exists (
            select from partner_calls c where c.order_id = o.id and c.state = 'parked' and c.subject = f.subject
        ))
    ) then 'parked'
    when exists (
        select from partner_calls c
        where c.order_id = f.order_id and c.state = 'open' and (f.subject is null or c.subject = f.subject)
    ) then 'in flight'
    else 'violation'
end) as stands
from (
    /* the check */
) f
