-- Every API key there ever was, newest first.
select
    id::text as id, scope, user_id, name, created_at, expires_at, revoked_at,
    case
        when revoked_at is not null then 'revoked'
        when expires_at <= now() then 'expired'
        else 'active'
    end as state
from api_keys
order by created_at desc, id
