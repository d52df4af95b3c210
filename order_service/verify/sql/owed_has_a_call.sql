-- Whatever an order waits for is asked for by a call: without one it would wait for ever.
select w.order_id, w.subject, null as stands, w.waits || ', and no call asks for it' as detail
from (
    select o.id as order_id, null as subject, 'stock is ' || o.stock as waits,
        case o.stock when 'reserving' then array['reserve'] else array['release'] end as kinds
    from orders o
    where o.stock in ('reserving', 'releasing') and (:only::uuid[] is null or o.id = any(:only))
    union all
    select a.order_id, null, format('attempt %s is %s', a.attempt, a.status),
        case a.status when 'waiting_stock' then array['reserve', 'release']
            else array['charge', 'void', 'read_payment', 'check_payment'] end
    from payment_attempts a
    where a.status in ('waiting_stock', 'pending', 'unknown', 'processing', 'requires_action', 'requires_capture',
            'voiding', 'void_unknown')
        and (:only::uuid[] is null or a.order_id = any(:only))
    union all
    select r.order_id, r.reference, format('refund %s is %s', r.refund, r.status), array['refund', 'read_refund']
    from refunds r
    where r.status in ('requested', 'pending') and (:only::uuid[] is null or r.order_id = any(:only))
) w
where not exists (
    select from partner_calls c
    where c.order_id = w.order_id and c.state in ('open', 'parked') and c.kind = any(w.kinds)
        and (w.subject is null or c.subject = w.subject)
)
