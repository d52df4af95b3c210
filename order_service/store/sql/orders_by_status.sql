-- Orders by status: counted while they are few, else from the planner's statistics, which cost nothing to read.
with size as (select reltuples::float8 as orders from pg_class where oid = 'orders'::regclass),
counted as (
    select o.status, count(*)::float8 as orders
    from orders o
    where (select s.orders from size s) < 100000
    group by o.status
),
estimated as (
    select v.status, (s.orders * v.frequency)::float8 as orders
    from size s, pg_stats p,
        unnest(p.most_common_vals::text::text[], p.most_common_freqs) as v (status, frequency)
    where s.orders >= 100000 and p.schemaname = current_schema() and p.tablename = 'orders' and p.attname = 'status'
)
select status, orders from counted
union all
select status, orders from estimated
