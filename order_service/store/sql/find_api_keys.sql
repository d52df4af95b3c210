-- The keys of these hashes that are good now, with the seconds for which they stay so.
select hash, id::text as id, scope, user_id, extract(epoch from expires_at - now())::float8 as left_s
from api_keys
where hash = any(:hashes::bytea[]) and revoked_at is null and (expires_at is null or expires_at > now())
