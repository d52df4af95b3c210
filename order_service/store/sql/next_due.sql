-- Seconds until the next lease ends or the next timer comes; below 0 when something is due, null when nothing waits.
select extract(epoch from least(
    (select min(lease_until) from partner_calls where state = 'open'),
    (select min(timer_at) from orders where timer_at is not null)
) - now())::float8
