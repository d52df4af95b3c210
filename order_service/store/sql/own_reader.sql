-- Makes this process the one that reads the log under this name, unless somebody else who is alive does. Who has lost
-- hold of its lease may take it again: a prolongation that the database answered too late is nobody else's.
insert into log_readers as r (name, owner, token, lease_until)
values (:name, :owner, 1, now() + make_interval(secs => :lease_s))
on conflict (name) do update
set owner = excluded.owner, token = r.token + 1, lease_until = excluded.lease_until
where r.lease_until <= now() or r.owner = excluded.owner
returning token, epoch, xid::text as xid, position
