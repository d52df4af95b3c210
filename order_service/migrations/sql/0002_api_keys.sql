-- API keys, as hashes only: the text of a key is 256 random bits, so one round of SHA-256 is enough, and nobody who
-- reads this table can call. A row is never deleted: it says who made the changes that name its id.
create table api_keys (
    id         uuid primary key default gen_random_uuid(),
    hash       bytea not null unique check (octet_length(hash) = 32),
    scope      text not null check (scope in ('customer', 'service', 'staff')),
    user_id    text check (user_id ~ '^[A-Za-z0-9._:@-]{1,128}$'),
    name       text not null check (char_length(name) <= 200),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    constraint customers_have_a_user check (scope <> 'customer' or user_id is not null)
);
