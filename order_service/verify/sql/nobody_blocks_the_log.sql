-- Transactions that write for so long that no reader of the log gets on.
select null::uuid as order_id, null as subject, null as stands, w.what || ' writes since ' || w.since as detail
from (
    select 'process ' || pid || ' (' || coalesce(nullif(application_name, ''), 'unnamed') || ')' as what,
        xact_start as since
    from pg_stat_activity
    where backend_xid is not null and pid <> pg_backend_pid()
    union all
    select 'prepared transaction ' || gid, prepared from pg_prepared_xacts
) w
where w.since < now() - make_interval(secs => :blocked_s) and :only::uuid[] is null
