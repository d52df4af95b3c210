"""No call of the driver, of an HTTP client or of the broker's client stands outside a wrapper with a fault point.

Read from the source: a function that makes such a call passes a point itself, or is used in its file only by functions
that do. Programs beside the service (verify, torture, the sandbox, the embedded servers, the demo) are left out.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import order_service

ROOT = Path(order_service.__file__).parent
BESIDE = {"verify", "torture", "bench", "sandbox", "embedded", "migrations", "demo.py"}

CALLS = {
    # asyncpg
    "fetch", "fetchrow", "fetchval", "execute", "executemany", "cursor", "prepare", "copy_records_to_table",
    "asyncpg.connect", "asyncpg.create_pool",
    # HTTP and plain sockets
    "request", "session.get", "session.post", "urlopen", "open_connection", "create_connection",
    "connections.exchange",
    # confluent-kafka
    "produce", "flush", "list_topics", "create_topics",
}  # fmt: skip

NOT_THE_SERVICE = {
    # A command asks the service over HTTP, as any client does.
    ("attention.py", "urlopen"),
    # SQLAlchemy's connection runs the migrations, before any service may start.
    ("store/migrate.py", "execute"),
    # The client under the wire, which passes a point around each exchange.
    ("partners/http1.py", "create_connection"),
    # What starlette-style frameworks call a request is a value here.
    ("api/app.py", "request"),
}


def modules() -> list[Path]:
    """Every module that is part of the running service."""
    found = [p for p in sorted(ROOT.rglob("*.py")) if p.relative_to(ROOT).parts[0] not in BESIDE]
    assert len(found) > 60
    return found


def outside_call(node: ast.AST) -> str | None:
    """The name under which a node calls the outside, if it does."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    name = node.func.attr
    if name in CALLS:
        return name
    owner = node.func.value
    tail = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return f"{tail.lstrip('_')}.{name}" if f"{tail.lstrip('_')}.{name}" in CALLS else None


class Function:
    """One function of a module: what it calls outside, whether it passes a point, and the names it mentions."""

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.name = node.name
        self.outside = sorted({found for child in ast.walk(node) if (found := outside_call(child))})
        self.passes = any(
            isinstance(child, ast.Attribute)
            and child.attr in ("around", "passing")
            and isinstance(child.value, ast.Name)
            and child.value.id == "faults"
            for child in ast.walk(node)
        )
        # A method of something else is not the function of that name in this file.
        self.mentions = {
            c.attr
            for c in ast.walk(node)
            if isinstance(c, ast.Attribute) and isinstance(c.value, ast.Name) and c.value.id == "self"
        }
        self.mentions |= {c.id for c in ast.walk(node) if isinstance(c, ast.Name)}


def uncovered(source: str) -> list[tuple[str, str]]:
    """Calls to the outside, as (function, call), that no point is passed around."""
    tree = ast.parse(source)
    functions = [Function(n) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]

    def covered(function: Function, seen: frozenset[str] = frozenset()) -> bool:
        if function.passes:
            return True
        users = [f for f in functions if function.name in f.mentions and f.name != function.name]
        return bool(users) and all(u.name not in seen and covered(u, seen | {function.name}) for u in users)

    found = [(f.name, call) for f in functions if f.outside and not covered(f) for call in f.outside]
    in_functions = {id(c) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
                    for c in ast.walk(n)}  # fmt: skip
    found += [("(module)", c) for n in ast.walk(tree) if id(n) not in in_functions and (c := outside_call(n))]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_to_the_outside_stands_beside_a_point(path: Path) -> None:
    where = str(path.relative_to(ROOT))
    found = [(function, call) for function, call in uncovered(path.read_text()) if (where, call) not in NOT_THE_SERVICE]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(pool):\n    return await pool.fetch('select 1')",
        "async def f(session):\n    return await session.request('GET', '/')",
        "async def f(self):\n    return await self._session.get('/')",
        "def f(producer):\n    producer.produce('t', b'')",
        "async def g(pool):\n    await pool.execute('x')\nasync def f(pool):\n    await g(pool)",
        "async def g(pool):\n    await pool.execute('x')\n"
        "async def f(pool):\n    await faults.around('x', lambda: g(pool))\nasync def h(pool):\n    await g(pool)",
        "async def execute(pool):\n    await pool.execute('x')\n"
        "async def f(pool):\n    await faults.around('x', lambda: pool.execute('y'))",
        "import urllib.request\nurllib.request.urlopen('http://x')",
    ],
)
def test_a_call_beside_the_points_would_be_seen(source: str) -> None:
    assert uncovered(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(pool):\n    return await faults.around('x', lambda: pool.fetch('select 1'))",
        "async def g(pool):\n    await pool.execute('x')\n"
        "async def f(pool):\n    await faults.around('x', lambda: g(pool))",
    ],
)
def test_a_call_within_a_point_is_fine(source: str) -> None:
    assert uncovered(source) == []


def test_the_calls_that_are_there_are_found() -> None:
    found = {
        (str(path.relative_to(ROOT)), call)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if (call := outside_call(node))
    }
    assert {
        ("store/statements.py", "fetch"),
        ("store/statements.py", "fetchrow"),
        ("store/statements.py", "execute"),
        ("partners/wire.py", "connections.exchange"),
        ("auth/sources.py", "session.get"),
        ("broker.py", "produce"),
        ("broker.py", "list_topics"),
        ("health.py", "open_connection"),
    } <= found
