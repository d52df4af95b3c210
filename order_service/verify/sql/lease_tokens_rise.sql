-- Each lease of a call raised its token, so that an answer of an older lease is told from the newest.
select c.order_id, c.subject, null as stands,
    format('%s %s: token %s after %s leases', c.kind, c.subject, c.token, c.attempts) as detail
from partner_calls c
where (c.token < c.attempts or (c.state <> 'open' and c.token < 1) or c.attempts < 0)
    and (:only::uuid[] is null or c.order_id = any(:only))
