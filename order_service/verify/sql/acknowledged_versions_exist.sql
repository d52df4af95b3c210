-- What a reply has told is still there: no remembered version is above that of its order.
select k.order_id, null as subject, null as stands,
    format('%s %s told of version %s, the order has %s', k.route, k.key, k.response_version, o.version) as detail
from idempotency_keys k
join orders o on o.id = k.order_id
where k.response_version > o.version and (:only::uuid[] is null or k.order_id = any(:only))
