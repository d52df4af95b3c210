-- Everything the rules and a commit want to know of some orders, each as of the same moment.
select
    o.id::text as id,
    o.revision,
    o.contacts_version,
    o.log_hash,
    l.snapshot,
    l.contacts_hash,
    c.document as contacts,
    t.token,
    t.attempt_token,
    p.ids,
    p.kinds,
    p.subjects,
    p.codes,
    p.since,
    p.tokens
from orders o
join order_log l on l.order_id = o.id and l.version = o.version
left join order_contacts c on c.order_id = o.id and c.version = o.contacts_version
left join lateral (
    select
        min(k.token) filter (where k.attempt = 0) as token,
        (array_agg(k.token order by k.attempt desc) filter (where k.attempt > 0))[1] as attempt_token
    from payment_tokens k
    where k.order_id = o.id
) t on true
left join lateral (
    select
        array_agg(w.id::text) as ids,
        array_agg(w.kind) as kinds,
        array_agg(w.subject) as subjects,
        array_agg(w.parked_code) as codes,
        array_agg(w.parked_since) as since,
        array_agg(w.token) as tokens
    from (
        select * from partner_calls q
        where q.order_id = o.id and q.state in ('open', 'parked')
        order by q.version, q.ordinal
    ) w
) p on true
where o.id = any(:ids::uuid[])
