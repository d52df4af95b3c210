-- A new API key; its text is known to whoever asked for it, and to nobody else.
insert into api_keys (hash, scope, user_id, name, expires_at)
values (
    :hash, :scope, :user_id::text, :name,
    case when :expires_in_s::float8 is not null then now() + make_interval(secs => :expires_in_s::float8) end
)
returning id::text as id
