-- Goods that have left were held by the inventory, which has booked them as gone, unless people booked it by hand.
select r.order_id, r.reservation_id as subject, null as stands,
    format('%s: %s here, %s at the inventory', r.reservation_id, r.status, coalesce(h.state, 'never held')) as detail
from our_reservations r
left join holds h on h.reference = r.reservation_id
where r.newest and r.order_status in ('shipped', 'delivered', 'refunded')
    and case r.status
        when 'committed' then h.state is distinct from 'gone'
        when 'committing' then h.state is distinct from 'gone'
        when 'reserved' then true
        else false
    end
    and (:only::uuid[] is null or r.order_id = any(:only))
    and not exists (
        select from partner_calls c
        where c.order_id = r.order_id and c.subject = r.reservation_id and c.outcome = 'done by hand'
    )
