"""What Alembic runs: with the connection of ``store.migrate``, or alone with the address in the environment."""

from __future__ import annotations

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from order_service.store.migrate import engine_for


def _run(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()


async def _run_alone() -> None:
    engine = engine_for(os.environ["ORDER_SERVICE_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(_run)
    await engine.dispose()


_given = context.config.attributes.get("connection")
if _given is not None:
    _run(_given)
else:
    asyncio.run(_run_alone())
