-- The whole schema: orders and their parts, the log of versions, what is owed to partners, keys, readers of the log.
-- Amounts are integers in the currency's minor unit, at most 2^53 - 1. PostgreSQL 15 is enough for all of it.

-- What is lawful ------------------------------------------------------------------------------------------------------

-- The table of moves; the row without origin is creation.
create table order_moves (
    from_status text,
    to_status   text not null,
    by          text not null,
    unique nulls not distinct (from_status, to_status)
);

insert into order_moves (from_status, to_status, by) values
    (null, 'pending', 'creation'),
    ('pending', 'payment_pending', 'pay, once stock is reserved'),
    ('pending', 'cancelled', 'cancel, stock refused, expiry'),
    ('pending', 'confirmed', 'stock reserved and nothing to pay'),
    ('payment_pending', 'confirmed', 'captured'),
    ('payment_pending', 'payment_failed', 'declined, or voided at the deadline'),
    ('payment_pending', 'cancelled', 'cancel'),
    ('payment_failed', 'payment_pending', 'pay again'),
    ('payment_failed', 'cancelled', 'cancel, expiry'),
    ('confirmed', 'processing', 'staff'),
    ('confirmed', 'cancelled', 'cancel, then refund'),
    ('processing', 'shipped', 'staff'),
    ('processing', 'cancelled', 'cancel, then refund'),
    ('shipped', 'delivered', 'staff, carrier'),
    ('shipped', 'refunded', 'full refund of a lost or refused parcel'),
    ('delivered', 'refunded', 'full refund finished'),
    ('cancelled', 'refunded', 'refund of all captured money finished');

-- Orders and their parts ----------------------------------------------------------------------------------------------

-- One row per order, as of its newest version. `revision` counts every write to the row, also those that end a call
-- without any change that a client can see. Room is left in each page, so that most updates touch no index.
create table orders (
    id               uuid primary key,
    order_number     text not null unique,
    user_id          text not null,
    status           text not null,
    stock            text not null,
    payment_status   text not null,
    currency         text not null,
    subtotal         bigint not null,
    shipping_cost    bigint not null,
    tax              bigint not null,
    discount         bigint not null,
    total            bigint not null,
    captured         bigint not null,
    refunded         bigint not null,
    refund_in_flight bigint not null,
    settled_outside  bigint not null,
    version          int not null,
    revision         int not null,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,
    expires_at       timestamptz not null,
    timer_at         timestamptz,
    attention        text,
    contacts_version int not null,
    event_sequence   int not null,
    log_hash         bytea not null,

    constraint amounts_are_in_range check (
        least(subtotal, shipping_cost, tax, discount, total, captured, refunded, refund_in_flight, settled_outside) >= 0
        and greatest(subtotal, shipping_cost, tax, discount, total) <= 9007199254740991
    ),
    constraint total_is_the_sum check (total = subtotal + shipping_cost + tax - discount),
    constraint no_more_back_than_captured check (
        captured <= total and refunded + refund_in_flight + settled_outside <= captured
    ),
    constraint goods_never_leave_unpaid check (
        case
            when status in ('pending', 'payment_pending', 'payment_failed') then captured = 0
            when status in ('confirmed', 'processing') then
                captured = total and (refunded < captured or total = 0) and (payment_status = 'none') = (total = 0)
            when status in ('shipped', 'delivered') then
                captured = total and (payment_status = 'none') = (total = 0)
            when status = 'refunded' then captured > 0 and refunded = captured
            else true
        end
    ),
    constraint facets_are_lawful check (
        case status
            when 'pending' then
                stock in ('reserving', 'reserved') and payment_status = 'none'
            when 'payment_pending' then
                stock = 'reserved' and payment_status in ('pending', 'unknown')
            when 'payment_failed' then
                stock in ('reserving', 'reserved', 'refused', 'releasing', 'released')
                and payment_status in ('declined', 'voided')
            when 'confirmed' then
                stock = 'reserved'
                and payment_status in ('none', 'captured', 'partially_refunded', 'refund_pending', 'refund_failed')
            when 'processing' then
                stock = 'reserved'
                and payment_status in ('none', 'captured', 'partially_refunded', 'refund_pending', 'refund_failed')
            when 'shipped' then
                stock in ('reserved', 'committed')
                and payment_status in ('none', 'captured', 'partially_refunded', 'refund_pending', 'refund_failed')
            when 'delivered' then
                stock in ('reserved', 'committed')
                and payment_status in ('none', 'captured', 'partially_refunded', 'refund_pending', 'refund_failed')
            when 'cancelled' then
                stock in ('refused', 'releasing', 'released')
                and payment_status in (
                    'none', 'pending', 'unknown', 'declined', 'voided', 'refund_pending', 'refund_failed'
                )
            when 'refunded' then
                stock in ('reserved', 'releasing', 'released', 'committed') and payment_status = 'refunded'
            else false
        end
    ),
    constraint counts_are_sound check (version > 0 and revision >= 0 and event_sequence >= 0 and contacts_version > 0)
) with (fillfactor = 70);

create index orders_of_user on orders (user_id, id desc);
create index orders_with_timer on orders (timer_at) where timer_at is not null;
create index orders_with_attention on orders (id) where attention is not null;

create table order_items (
    order_id   uuid not null references orders,
    line       int not null,
    product_id text not null,
    sku        text,
    name       text not null,
    quantity   int not null,
    unit_price bigint not null,
    total      bigint not null,
    primary key (order_id, line),
    check (line > 0 and quantity > 0 and unit_price >= 0),
    constraint line_total_is_the_product check (total = quantity * unit_price and total <= 9007199254740991)
);

-- All personal data of an order, by the version that brought it. May be erased; the log keeps a salted hash of it.
create table order_contacts (
    order_id uuid not null references orders,
    version  int not null,
    document text not null,
    salt     bytea not null,
    primary key (order_id, version)
);

-- One row per click on "pay". `reference` is the payment's name at the payment service.
create table payment_attempts (
    order_id     uuid not null references orders,
    attempt      int not null,
    reference    text not null unique,
    status       text not null check (status in (
        'waiting_stock', 'pending', 'unknown', 'processing', 'requires_action', 'requires_capture', 'voiding',
        'void_unknown', 'captured', 'declined', 'voided', 'closed'
    )),
    amount       bigint not null check (amount between 1 and 9007199254740991),
    payment_id   text,
    decline_code text,
    surplus      bigint not null check (surplus between 0 and amount),
    at           timestamptz not null,
    deadline_at  timestamptz not null,
    primary key (order_id, attempt)
) with (fillfactor = 80);

-- What stands for the customer's means of payment: attempt 0 is the order's own, the others that of their attempt.
-- Apart from the rest and without any constraint to fail: the server prints a row that fails one into its log.
create table payment_tokens (
    order_id uuid not null references orders,
    attempt  int not null,
    token    text not null,
    primary key (order_id, attempt)
);

-- One row per payment back. A refund with `surplus` returns what a closed attempt captured; it counts in no sum.
create table refunds (
    order_id  uuid not null references orders,
    refund    int not null,
    reference text not null unique,
    attempt   int not null,
    amount    bigint not null check (amount between 1 and 9007199254740991),
    status    text not null check (status in (
        'requested', 'pending', 'succeeded', 'failed', 'acknowledged', 'settled_outside'
    )),
    surplus   boolean not null,
    reason    text not null,
    refund_id text,
    note      text,
    at        timestamptz not null,
    primary key (order_id, refund)
) with (fillfactor = 80);

-- Log and history -----------------------------------------------------------------------------------------------------

-- One row: it rises when the data moves to another cluster, where the counter of transactions starts anew.
create table log_epoch (
    only_row          boolean primary key default true check (only_row),
    epoch             int not null,
    system_identifier bigint not null
);

insert into log_epoch (epoch, system_identifier) select 1, system_identifier from pg_control_system();

-- One row per version of an order: the order itself, what has changed, who did it and why, and what consumers are told.
-- Rows become visible in another order than that of `position`: readers go by (epoch, xid, position), below the
-- horizon.
create table order_log (
    order_id       uuid not null,
    version        int not null check (version > 0),
    position       bigint not null generated always as identity,
    epoch          int not null,
    xid            xid8 not null default pg_current_xact_id(),
    decision_id    uuid not null,
    message        text not null,
    snapshot       text not null,
    change         text not null,
    actor          text not null,
    reason         text,
    correlation_id text not null,
    traceparent    text,
    at             timestamptz not null,
    first_sequence int not null check (first_sequence > 0),
    events         text[] not null,
    contacts_hash  bytea not null,
    prev_hash      bytea not null check (octet_length(prev_hash) = 32),
    hash           bytea not null check (octet_length(hash) = 32),
    primary key (order_id, version),
    -- A row must fit into one record of the broker, whose limit is 1 MiB unless it was changed.
    constraint row_fits_into_a_record check (octet_length(snapshot) + octet_length(change) <= 900000)
);

create index order_log_in_reading_order on order_log (epoch, xid, position);

-- One row per change of status, written by trigger.
create table order_history (
    order_id       uuid not null,
    version        int not null,
    from_status    text,
    to_status      text not null,
    actor          text not null,
    reason         text,
    correlation_id text not null,
    at             timestamptz not null,
    primary key (order_id, version)
);

-- What is owed --------------------------------------------------------------------------------------------------------

-- A call to a partner: exact request and key, who may send it until when, and what came of it. `token` rises with
-- every lease and with every end of one; `decision_id` is the decision that wrote the row last. `version` is the
-- version of the order that came to owe it, `ordinal` counts the calls of that version.
create table partner_calls (
    id           uuid primary key,
    order_id     uuid not null references orders,
    version      int not null,
    ordinal      int not null,
    kind         text not null,
    subject      text not null,
    key          text not null,
    request      bytea not null,
    state        text not null default 'open' check (state in ('open', 'parked', 'done', 'dropped')),
    parked_code  text,
    parked_since timestamptz,
    attempts     int not null,
    token        bigint not null,
    lease_until  timestamptz not null,
    drop_at      timestamptz,
    outcome      text,
    decision_id  uuid not null,
    created_at   timestamptz not null default now(),
    finished_at  timestamptz,
    constraint parked_with_code_and_time check (
        (state = 'parked') = (parked_code is not null) and (state = 'parked') = (parked_since is not null)
    ),
    constraint finished_with_time check ((state in ('done', 'dropped')) = (finished_at is not null))
) with (fillfactor = 70);

create index partner_calls_of_order on partner_calls (order_id);
create index partner_calls_due on partner_calls (lease_until) where state = 'open';

-- Idempotency keys, readers of the log --------------------------------------------------------------------------------

create table idempotency_keys (
    principal        text not null,
    route            text not null,
    key              text not null,
    fingerprint      bytea not null,
    order_id         uuid not null,
    decision_id      uuid not null,
    asked_kind       text not null,
    asked_number     int not null,
    asked_unchanged  boolean not null,
    busy_until       timestamptz not null,
    response_status  int,
    response_body    bytea,
    response_version int,
    response_problem boolean,
    created_at       timestamptz not null default now(),
    primary key (principal, route, key),
    constraint response_whole_or_not_at_all check (
        (response_status is null) = (response_body is null) and (response_status is null) = (response_problem is null)
    )
) with (fillfactor = 80);

create index idempotency_keys_by_age on idempotency_keys using brin (created_at);

-- Where each reader of the log stands, and who may read for it; `token` rises with every change of owner.
create table log_readers (
    name        text primary key,
    epoch       int not null default 0,
    xid         xid8 not null default '0',
    position    bigint not null default 0,
    owner       text,
    token       bigint not null default 0,
    lease_until timestamptz not null default now()
);

-- Orders whose next event a reader's target refuses for good: from `version` on, nothing of them is sent, until a
-- person has seen to it and wants the stream to `resume`.
create table parked_streams (
    reader   text not null,
    order_id uuid not null,
    version  int not null,
    error    text not null,
    since    timestamptz not null default now(),
    resume   boolean not null default false,
    primary key (reader, order_id)
);
