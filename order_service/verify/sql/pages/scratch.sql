-- What was read elsewhere, in tables of the verifier's own session: the server joins, and nobody else sees them.
create temp table money_entries (
    seq bigint, kind text, order_id uuid, told text, reference text, amount bigint, currency text, key text
);
create index on money_entries (reference);
create index on money_entries (order_id);

create temp table stock_entries (
    seq bigint, kind text, order_id uuid, reference text, key text, product_id text, quantity bigint
);
create index on stock_entries (reference);
create index on stock_entries (order_id);

create temp view holds as
select reference, order_id, kinds, case
    when kinds like '%commit' then 'gone'
    when kinds like '%reserve' then 'held'
    else 'released'
end as state
from (
    select reference, order_id, string_agg(kind, ' ' order by seq) as kinds
    from (select distinct reference, order_id, seq, kind from stock_entries) e
    group by reference, order_id
) k;

create temp table topic_records (
    partition int, place bigint, order_id uuid, sequence int, event_id text, bytes bytea, sense bytea
);
create index on topic_records (order_id, sequence);

create temp table expected_events (
    order_id uuid, sequence int, version int, epoch int, xid xid8, place bigint, at timestamptz, sense bytea
);
create index on expected_events (order_id, sequence);

create temp table our_reservations (
    order_id uuid, order_status text, reservation_id text, status text, newest boolean
);
create index on our_reservations (reservation_id);
create index on our_reservations (order_id);
