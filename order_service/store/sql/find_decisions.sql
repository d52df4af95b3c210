-- Of decisions whose commit was never answered: is it in the database, and which of its leases are still ours?
select
    d.n,
    l.version is not null or c.id is not null or k.key is not null as found,
    now() as at,
    array(
        select w.call_id::text
        from unnest(:lease_n::int[], :lease_call_id::uuid[], :lease_token::bigint[]) as w (n, call_id, token)
        where w.n = d.n and (
            select p.token = w.token and p.state = 'open' and p.lease_until > now()
            from partner_calls p where p.id = w.call_id
        )
    ) as leases
from unnest(
    :n::int[], :decision_id::uuid[], :order_id::uuid[], :version::int[], :call_id::uuid[],
    :principal::text[], :route::text[], :key::text[]
) as d (n, decision_id, order_id, version, call_id, principal, route, key)
left join order_log l on l.order_id = d.order_id and l.version = d.version and l.decision_id = d.decision_id
left join partner_calls c on c.id = d.call_id and c.decision_id = d.decision_id
left join idempotency_keys k
    on k.principal = d.principal and k.route = d.route and k.key = d.key and k.decision_id = d.decision_id
