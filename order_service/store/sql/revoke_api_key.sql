-- End a key; one that has ended already keeps the time of its end. No row: there is no such key.
update api_keys set revoked_at = coalesce(revoked_at, now()) where id = :id::uuid returning revoked_at
