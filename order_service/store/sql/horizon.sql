-- What holds the log's horizon back: the oldest transaction that writes, anywhere in the cluster. While it runs, no
-- reader sees anything that was written after its begin.
select kind, name, database, state, extract(epoch from now() - since)::float8 as age_s
from (
    select
        'backend' as kind, pid::text || coalesce(' ' || nullif(application_name, ''), '') as name,
        datname::text as database, state, xact_start as since, age(backend_xid) as distance
    from pg_stat_activity
    where backend_xid is not null and pid <> pg_backend_pid()
    union all
    select 'prepared transaction', gid, database::text, 'prepared', prepared, age(transaction)
    from pg_prepared_xacts
) writers
order by distance desc
limit 1
