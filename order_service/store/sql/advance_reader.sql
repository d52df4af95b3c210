-- Moves a reader's cursor on; no row says that somebody else has taken over.
update log_readers
set epoch = :epoch::int, xid = :xid::text::xid8, position = :position::bigint,
    lease_until = now() + make_interval(secs => :lease_s)
where name = :name and token = :token
returning true
