-- Orders whose timer has come, the longest due first.
select id::text as id
from orders
where timer_at <= now() and id <> all(:skip::uuid[])
order by timer_at
limit :limit
