-- What nobody can get around: append-only tables, history by trigger, lawful moves, sums across tables.
--
-- The plans of these functions are made once per connection, often while the tables are empty: other tables are looked
-- up laterally, with a limit, so that they are always found by index.

create function refuse_direct_change() returns trigger language plpgsql as $$
begin
    raise exception using
        errcode = 'restrict_violation',
        message = format(
            '%s of %s refused: an order changes only through the API (/api/v1/orders) or the command order-service, '
            'which write its log and history.', tg_op, tg_table_name);
end $$;

create trigger append_only before update or delete or truncate on order_log
    for each statement execute function refuse_direct_change();
create trigger append_only before update or delete or truncate on order_history
    for each statement execute function refuse_direct_change();
create trigger never_removed before delete or truncate on orders
    for each statement execute function refuse_direct_change();
create trigger never_removed before delete or truncate on order_items
    for each statement execute function refuse_direct_change();
create trigger never_removed before delete or truncate on payment_attempts
    for each statement execute function refuse_direct_change();
create trigger never_removed before delete or truncate on refunds
    for each statement execute function refuse_direct_change();
-- Every lawful write raises the revision; this is told before a constraint can object.
create trigger only_by_commit before update on orders
    for each row when (old.revision = new.revision) execute function refuse_direct_change();
-- A history row comes from the trigger on orders and from nowhere else.
create trigger only_by_trigger before insert on order_history
    for each statement when (pg_trigger_depth() = 0) execute function refuse_direct_change();

create function refuse_order(fault text, order_id uuid) returns void language plpgsql as $$
begin
    raise exception using
        errcode = case fault when 'unlogged' then 'restrict_violation' else 'check_violation' end,
        message = case fault
            when 'unlogged' then format(
                'Change of order %s without its log row refused: an order changes only through the API '
                '(/api/v1/orders) or the command order-service, which write its log and history.', order_id)
            when 'unlawful' then format('Order %s: the table of moves has no such move.', order_id)
            when 'items' then format('Order %s: the items do not add up to the subtotal.', order_id)
            else format('Order %s: its attempts and refunds do not add up to its sums.', order_id)
        end;
end $$;

-- A new order comes with its log row, by a lawful move, and its items add up to the subtotal.
create function check_new_orders() returns trigger language plpgsql as $$
declare
    bad record;
begin
    select fault, id into bad from (
        select n.id, case
            when n.version <> 1 or l.hash is distinct from n.log_hash or l.xid <> pg_current_xact_id() then 'unlogged'
            when not exists (select from order_moves m where m.from_status is null and m.to_status = n.status)
                then 'unlawful'
            when n.subtotal is distinct from (select sum(i.total) from order_items i where i.order_id = n.id)
                then 'items'
            when n.captured + n.refunded + n.refund_in_flight + n.settled_outside > 0 then 'sums'
        end as fault
        from fresh n
        left join lateral (
            select w.hash, w.xid from order_log w where w.order_id = n.id and w.version = n.version limit 1
        ) l on true
    ) checked where fault is not null limit 1;
    if found then
        perform refuse_order(bad.fault, bad.id);
    end if;
    insert into order_history (order_id, version, from_status, to_status, actor, reason, correlation_id, at)
    select n.id, n.version, null, n.status, l.actor, l.reason, l.correlation_id, l.at
    from fresh n
    cross join lateral (
        select * from order_log w where w.order_id = n.id and w.version = n.version limit 1
    ) l;
    return null;
end $$;

-- A changed order comes with the log row of its next version, by a lawful move, and its sums are those of its parts.
create function check_changed_orders() returns trigger language plpgsql as $$
declare
    bad record;
begin
    select fault, id into bad from (
        select n.id, case
            when n.version = o.version then
                case when (n.id, n.order_number, n.user_id, n.status, n.stock, n.payment_status, n.currency, n.subtotal,
                    n.shipping_cost, n.tax, n.discount, n.total, n.captured, n.refunded, n.refund_in_flight,
                    n.settled_outside, n.created_at, n.updated_at, n.expires_at, n.timer_at, n.attention,
                    n.contacts_version, n.event_sequence, n.log_hash)
                is distinct from (o.id, o.order_number, o.user_id, o.status, o.stock, o.payment_status, o.currency,
                    o.subtotal, o.shipping_cost, o.tax, o.discount, o.total, o.captured, o.refunded, o.refund_in_flight,
                    o.settled_outside, o.created_at, o.updated_at, o.expires_at, o.timer_at, o.attention,
                    o.contacts_version, o.event_sequence, o.log_hash)
                then 'unlogged' end
            when n.version <> o.version + 1 or l.hash is distinct from n.log_hash or l.prev_hash <> o.log_hash
                or l.xid <> pg_current_xact_id() then 'unlogged'
            when n.status <> o.status
                and not exists (select from order_moves m where m.from_status = o.status and m.to_status = n.status)
                then 'unlawful'
            when n.captured <> (
                select coalesce(sum(a.amount), 0) from payment_attempts a
                where a.order_id = n.id and a.status = 'captured') then 'sums'
            when (n.refunded, n.refund_in_flight, n.settled_outside) <> (
                select
                    coalesce(sum(r.amount) filter (where r.status = 'succeeded'), 0),
                    coalesce(sum(r.amount) filter (where r.status in ('requested', 'pending')), 0),
                    coalesce(sum(r.amount) filter (where r.status = 'settled_outside'), 0)
                from refunds r where r.order_id = n.id and not r.surplus) then 'sums'
            when (
                select coalesce(sum(r.amount), 0) from refunds r
                where r.order_id = n.id and r.surplus
                    and r.status in ('requested', 'pending', 'succeeded', 'settled_outside')
            ) > (select coalesce(sum(a.surplus), 0) from payment_attempts a where a.order_id = n.id) then 'sums'
        end as fault
        from fresh n
        left join stale o on o.id = n.id
        left join lateral (
            select w.hash, w.prev_hash, w.xid from order_log w
            where w.order_id = n.id and w.version = n.version limit 1
        ) l on true
    ) checked where fault is not null limit 1;
    if found then
        perform refuse_order(bad.fault, bad.id);
    end if;
    insert into order_history (order_id, version, from_status, to_status, actor, reason, correlation_id, at)
    select n.id, n.version, o.status, n.status, l.actor, l.reason, l.correlation_id, l.at
    from fresh n
    join stale o on o.id = n.id
    cross join lateral (
        select * from order_log w where w.order_id = n.id and w.version = n.version limit 1
    ) l
    where n.status <> o.status;
    return null;
end $$;

-- A log row tells of the version that its order has now.
create function check_new_log_rows() returns trigger language plpgsql as $$
declare
    bad uuid;
begin
    select n.order_id into bad
    from fresh n
    left join lateral (
        select w.log_hash from orders w where w.id = n.order_id and w.version = n.version limit 1
    ) o on true
    where o.log_hash is distinct from n.hash limit 1;
    if found then
        perform refuse_order('unlogged', bad);
    end if;
    return null;
end $$;

-- Items, attempts and refunds change only together with a version of their order.
create function check_parts() returns trigger language plpgsql as $$
declare
    bad uuid;
begin
    select n.order_id into bad
    from fresh n
    left join lateral (select w.id, w.version from orders w where w.id = n.order_id limit 1) o on true
    left join lateral (
        select w.xid from order_log w where w.order_id = o.id and w.version = o.version limit 1
    ) l on true
    where l.xid is distinct from pg_current_xact_id() limit 1;
    if found then
        perform refuse_order('unlogged', bad);
    end if;
    return null;
end $$;

create trigger logged_and_lawful_insert after insert on orders
    referencing new table as fresh for each statement execute function check_new_orders();
create trigger logged_and_lawful_update after update on orders
    referencing old table as stale new table as fresh for each statement execute function check_changed_orders();
create trigger tells_of_its_order after insert on order_log
    referencing new table as fresh for each statement execute function check_new_log_rows();
create trigger with_its_order_insert after insert on order_items
    referencing new table as fresh for each statement execute function check_parts();
create trigger with_its_order_update after update on order_items
    referencing new table as fresh for each statement execute function check_parts();
create trigger with_its_order_insert after insert on payment_attempts
    referencing new table as fresh for each statement execute function check_parts();
create trigger with_its_order_update after update on payment_attempts
    referencing new table as fresh for each statement execute function check_parts();
create trigger with_its_order_insert after insert on refunds
    referencing new table as fresh for each statement execute function check_parts();
create trigger with_its_order_update after update on refunds
    referencing new table as fresh for each statement execute function check_parts();
