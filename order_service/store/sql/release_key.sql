-- Ends the time in which a twin of the request is told that it is in flight.
update idempotency_keys set busy_until = now()
where (principal, route, key) = (:principal, :route, :key) and busy_until > now()
