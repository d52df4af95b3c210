-- Orders that wait for a person, the longest waiting first: what for, since when, and the call to retry or to give up.
select
    o.id::text as id, o.order_number, o.status, o.user_id, w.attention ->> 'code' as code,
    (w.attention ->> 'since')::timestamptz as since, w.attention ->> 'callId' as call_id, c.kind, c.outcome
from orders o
join order_log l on l.order_id = o.id and l.version = o.version
cross join lateral (select l.snapshot::jsonb -> 'attention' as attention) w
left join partner_calls c on c.id = (w.attention ->> 'callId')::uuid
where o.attention is not null
order by since, o.id
limit :limit
