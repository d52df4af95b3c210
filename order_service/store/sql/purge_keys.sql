-- Forgets Idempotency-Keys that are too old, a bounded number of them.
delete from idempotency_keys
where ctid = any(array(
    select ctid from idempotency_keys
    where created_at < now() - make_interval(secs => :older_than_s)
    limit :limit
    for update skip locked
))
