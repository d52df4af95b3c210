-- So many confirmed orders with sound books: four versions each, every hash in its place.
create function field(value text) returns bytea immutable language sql as $$
    select coalesce(int4send(octet_length(value)) || convert_to(value, 'UTF8'), '\xffffffff'::bytea)
$$;

create function row_hash(prev bytea, l order_log) returns bytea language sql as $$
    select sha256(prev || field(l.order_id::text) || field(l.version::text) || field(l.decision_id::text)
        || field(l.message) || field(l.snapshot) || field(l.change) || field(l.actor) || field(l.reason)
        || field(l.correlation_id) || field(l.traceparent) || field(((extract(epoch from l.at) * 1000000)::bigint)::text)
        || field(l.first_sequence::text) || field(array_to_string(l.events, ',')) || l.contacts_hash)
$$;

set session_replication_role = replica;

create temp table step (version int, status text, stock text, payment text, captured int, first int, events text[]);
insert into step values
    (1, 'pending', 'reserving', 'none', 0, 1, '{}'),
    (2, 'pending', 'reserved', 'none', 0, 1, '{order.created}'),
    (3, 'payment_pending', 'reserved', 'pending', 0, 2, '{order.status_changed}'),
    (4, 'confirmed', 'reserved', 'captured', 5000, 3, '{order.payment_successful,order.status_changed}');

create temp table made as
select id, n, now() - interval '1 hour' + n * interval '1 microsecond' as at
from (select gen_random_uuid() as id, n from generate_series(1, :count) n) g;

insert into order_log (
    order_id, version, epoch, decision_id, message, snapshot, change, actor, correlation_id, at, first_sequence, events,
    contacts_hash, prev_hash, hash
)
select m.id, s.version, 1, gen_random_uuid(), 'step', format(
        '{"id":"%s","orderNumber":"N-%s","userId":"user-1","status":"%s","stock":"%s","payment":{"status":"%s",'
        '"captured":%s,"refunded":0,"attempts":%s},"currency":"USD","items":[{"line":1,"productId":"shirt",'
        '"quantity":2,"unitPrice":2500,"total":5000}],"subtotal":5000,"shippingCost":0,'
        '"tax":0,"discount":0,"total":5000,"version":%s,"reservations":[{"reservationId":"%s-r1","status":"%s",'
        '"shortages":[]}],"eventSequence":%s,"padding":"%s"}',
        m.id, m.n, s.status, s.stock, s.payment, s.captured, case when s.captured = 0 then '[]' else format(
            '[{"attempt":1,"reference":"%s-p1","status":"captured","amount":5000,"paymentId":"pay"}]', m.id
        ) end, s.version, m.id, s.stock,
        s.first + cardinality(s.events) - 1, repeat('x', 1500)
    ), '{}', 'service', 'c', m.at, s.first, s.events, sha256(''), decode(repeat('00', 32), 'hex'),
    decode(repeat('00', 32), 'hex')
from made m cross join step s
order by m.n, s.version;

do $$
begin
    for v in 1..4 loop
        update order_log l
        set prev_hash = coalesce(p.hash, l.prev_hash), hash = row_hash(coalesce(p.hash, l.prev_hash), l)
        from made m
        left join order_log p on p.order_id = m.id and p.version = v - 1
        where l.order_id = m.id and l.version = v;
    end loop;
end $$;

insert into orders
select m.id, 'N-' || m.n, 'user-1', s.status, s.stock, s.payment, 'USD', 5000, 0, 0, 0, 5000, 5000, 0, 0, 0, 4, 3, m.at,
    m.at, m.at, null, null, 1, 4, l.hash
from made m
join step s on s.version = 4
join order_log l on l.order_id = m.id and l.version = 4;

insert into order_items select id, 1, 'shirt', null, 'Shirt', 2, 2500, 5000 from made;
insert into payment_attempts select id, 1, id || '-p1', 'captured', 5000, 'pay', null, 0, at, at from made;
insert into order_history
select l.order_id, l.version, case l.version when 3 then 'pending' when 4 then 'payment_pending' end, s.status, l.actor,
    l.reason, l.correlation_id, l.at
from order_log l
join step s on s.version = l.version
where l.version <> 2;
insert into log_readers (name, epoch, xid, position) select 'relay', 1, pg_current_xact_id(), max(position) from order_log;
analyze;
