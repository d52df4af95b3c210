-- Stores the final answers of requests whose keys are bound; what is stored already stays.
update idempotency_keys k
set response_status = r.status, response_body = r.body, response_version = r.version, response_problem = r.problem,
    busy_until = least(k.busy_until, now())
from unnest(
    :principal::text[], :route::text[], :key::text[], :status::int[], :body::bytea[], :version::int[],
    :problem::boolean[]
) as r (principal, route, key, status, body, version, problem)
where (k.principal, k.route, k.key) = (r.principal, r.route, r.key) and k.response_status is null
