-- Makes this process the one that reads the log under this name, unless somebody alive does.
insert into log_readers as r (name, owner, token, lease_until)
values (:name, :owner, 1, now() + make_interval(secs => :lease_s))
on conflict (name) do update
set owner = excluded.owner, token = r.token + 1, lease_until = excluded.lease_until
where r.lease_until <= now()
returning token, epoch, xid::text as xid, position
