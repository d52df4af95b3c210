-- Forgets Idempotency-Keys that are too old, a bounded number of them.
delete from idempotency_keys k
using (
    select principal, route, key from idempotency_keys
    where created_at < now() - make_interval(secs => :older_than_s)
    limit :limit
    for update skip locked
) old
where (k.principal, k.route, k.key) = (old.principal, old.route, old.key)
