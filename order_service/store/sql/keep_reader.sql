-- Goes on reading the log under this name; no row says that somebody else has taken over.
update log_readers
set lease_until = now() + make_interval(secs => :lease_s)
where name = :name and token = :token
returning true
