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
    asyncpg.InternalClientError,
)
"""What says that the database cannot do it now, rather than that something was wrong with the question.

The driver's own complaint is among them: who asks on a connection whose end the server has announced, and which is not
closed yet, is told that "another operation is in progress".
"""
