-- How much is owed to partners: calls due, the age of the oldest in seconds, calls and orders that wait for a person.
select
    (select count(*) from partner_calls where state = 'open' and lease_until <= now() + interval '30 seconds') as due,
    coalesce((
        select extract(epoch from now() - min(created_at)) from partner_calls
        where state = 'open' and lease_until <= now() + interval '30 seconds'
    ), 0)::float8 as oldest_s,
    (
        select count(*) from orders o join partner_calls c on c.order_id = o.id
        where o.attention is not null and c.state = 'parked'
    ) as parked,
    (select count(*) from orders where attention is not null) as attention
