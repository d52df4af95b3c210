-- Lets somebody else read the log under this name at once.
update log_readers set lease_until = now() where name = :name and token = :token
