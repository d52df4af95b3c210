"""Real servers, PostgreSQL and Apache Kafka, with nothing installed but Python packages.

For `order-service dev` and for the tests; the service itself never imports this package, and a production image
does not carry what it needs (the extra `embedded`).

    with Postgres(Path(".data")) as postgres, Kafka(Path(".data")) as kafka:
        print(postgres.dsn(), kafka.bootstrap)

Each server holds its folder against a second launcher, remembers its port, writes its log to `logs`, and ends
with the launcher, also when that is killed. What cannot be done is a `LauncherError`: one plain sentence.
"""

from order_service.embedded.errors import LauncherError
from order_service.embedded.kafka import Kafka
from order_service.embedded.postgres import Postgres

__all__ = ["Kafka", "LauncherError", "Postgres"]
