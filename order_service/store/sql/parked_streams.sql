-- Orders of which a reader sends nothing, until a person has looked at them.
select order_id::text as order_id, version, error, since, resume
from parked_streams where reader = :reader
order by since
