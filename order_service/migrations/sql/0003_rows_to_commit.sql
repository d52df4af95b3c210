-- What the commit statement is given: arrays of rows, as an array for each column cost the client and the database
-- nearly twice as much.
create type commit_entry as (
    n int,
    order_id uuid,
    decision_id uuid,
    gate text,
    version int,
    revision int,
    order_number text,
    call_id uuid,
    call_token bigint
);
create type commit_key as (
    n int,
    principal text,
    route text,
    key text,
    fingerprint bytea,
    asked_kind text,
    asked_number int,
    asked_unchanged boolean,
    busy_s float8,
    status int,
    body bytea,
    version int,
    problem boolean
);
create type commit_state as (
    n int,
    status text,
    stock text,
    payment_status text,
    captured bigint,
    refunded bigint,
    refund_in_flight bigint,
    settled_outside bigint,
    version int,
    updated_at timestamptz,
    expires_at timestamptz,
    timer_at timestamptz,
    attention text,
    contacts_version int,
    event_sequence int,
    log_hash bytea
);
create type commit_fresh as (
    n int,
    order_number text,
    user_id text,
    currency text,
    subtotal bigint,
    shipping_cost bigint,
    tax bigint,
    discount bigint,
    total bigint,
    created_at timestamptz
);
create type commit_log as (
    n int,
    version int,
    message text,
    snapshot text,
    change text,
    actor text,
    reason text,
    correlation_id text,
    traceparent text,
    at timestamptz,
    first_sequence int,
    events text,
    contacts_hash bytea,
    prev_hash bytea,
    hash bytea
);
create type commit_item as (
    n int,
    line int,
    product_id text,
    sku text,
    name text,
    quantity int,
    unit_price bigint,
    total bigint
);
create type commit_contact as (
    n int,
    version int,
    document text,
    salt bytea
);
create type commit_attempt as (
    n int,
    attempt int,
    reference text,
    status text,
    amount bigint,
    payment_id text,
    decline_code text,
    surplus bigint,
    at timestamptz,
    deadline_at timestamptz
);
create type commit_token as (
    n int,
    attempt int,
    token text
);
create type commit_refund as (
    n int,
    refund int,
    reference text,
    attempt int,
    amount bigint,
    status text,
    surplus boolean,
    reason text,
    refund_id text,
    note text,
    at timestamptz
);
create type commit_call as (
    n int,
    id uuid,
    version int,
    ordinal int,
    kind text,
    subject text,
    key text,
    request bytea,
    attempts int,
    token bigint,
    lease_s float8,
    drop_s float8
);
create type commit_end as (
    n int,
    call_id uuid,
    state text,
    parked_code text,
    parked_since timestamptz,
    outcome text,
    attempts int,
    lease_s float8
);
create type commit_reply as (
    n int,
    principal text,
    route text,
    key text,
    status int,
    body bytea,
    version int,
    problem boolean
);
