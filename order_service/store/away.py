"""Which errors say that the database is away, for everybody who asks it."""

from __future__ import annotations

import asyncpg

DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
)
"""What says that the database cannot do it now, rather than that something was wrong with the question."""
