"""The floor that PostgreSQL sets: pgbench writing the least that an order can be, one durable transaction each.

Order, three items, history and outbox row go in one statement, so in one round trip and one sync to disk. What this
takes is what no order service on this machine can be below, unless several orders share a transaction.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path

from msgspec import Struct

from order_service.bench.system import System
from order_service.embedded import LauncherError
from order_service.store.statements import connect_one

_SCHEMA = """
create table orders (
    id uuid primary key, user_id text not null, status text not null, total numeric(12,2) not null,
    currency char(3) not null, shipping_address jsonb not null, idempotency_key text unique,
    created_at timestamptz not null default now());
create index on orders (user_id, created_at desc);
create table order_items (
    order_id uuid not null references orders(id), line int not null, product_id text not null, sku text, name text,
    quantity int not null check (quantity > 0), unit_price numeric(12,2) not null, primary key (order_id, line));
create table order_history (
    id bigserial primary key, order_id uuid not null references orders(id), old_status text, new_status text not null,
    at timestamptz not null default now());
create index on order_history (order_id);
create table outbox (
    id bigserial primary key, topic text not null, key text not null, payload jsonb not null,
    created_at timestamptz not null default now());
"""
_STATEMENT = r"""\set u random(1, 1000)
with o as (
    insert into orders (id, user_id, status, total, currency, shipping_address, idempotency_key)
    values (gen_random_uuid(), 'user-' || :u, 'pending', 254.60, 'USD',
        '{"name":"Ada Example","line1":"1 Main Street","city":"Springfield","region":"IL","postalCode":"62701"}',
        gen_random_uuid()) returning id),
i as (
    insert into order_items (order_id, line, product_id, sku, name, quantity, unit_price)
    select o.id, v.* from o, (values (1, 'prod-1', 'SKU-1', 'Blue cotton t-shirt', 1, 19.99),
        (2, 'prod-2', 'SKU-2', 'Running shoes', 2, 89.5), (3, 'prod-3', 'SKU-3', 'Water bottle', 3, 12.25)) v),
h as (insert into order_history (order_id, new_status) select id, 'pending' from o)
insert into outbox (topic, key, payload)
select 'orders.events', id, '{"type":"order.created","data":{"userId":"user-1","total":25460,"items":['
    '{"productId":"p1","quantity":1},{"productId":"p2","quantity":2},{"productId":"p3","quantity":3}]}}' from o;
"""
_DATABASE = "floor"
_AT_MOST_S = 30
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_DONE = re.compile(r"actually processed: ([0-9]+)")
_LATENCY = re.compile(r"latency average = ([0-9.]+) ms")


class Floor(Struct):
    """What pgbench said: orders a second, mean milliseconds of one, and microseconds of PostgreSQL's CPU for it."""

    orders_per_s: float
    mean_ms: float
    postgres_us: float


def prepare_floor(system: System) -> None:
    """Make the floor's own database."""
    asyncio.run(_prepare(system.postgres.create_database(_DATABASE)))


async def _prepare(dsn: str) -> None:
    connection = await connect_one(dsn)
    try:
        await connection.execute(_SCHEMA)
    finally:
        await connection.close()


def run_floor(system: System, clients: int, seconds: float) -> Floor:
    """pgbench with so many clients, for so many whole seconds; longer where their connections alone take as long."""
    script = Path(system.folder, "floor.sql")
    script.write_text(_STATEMENT)
    whole_s = max(1, round(seconds))
    while True:
        before = system.cpu_s()["postgres"]
        said = _pgbench(system, script, clients, whole_s)
        cpu_s = system.cpu_s()["postgres"] - before
        orders = int(_first(_DONE, said))
        if orders:
            return Floor(_first(_TPS, said), _first(_LATENCY, said), 1e6 * cpu_s / orders)
        if whole_s > _AT_MOST_S:
            raise LauncherError(f"PostgreSQL wrote nothing for pgbench within {whole_s} seconds.")
        whole_s *= 3


def _pgbench(system: System, script: Path, clients: int, seconds: int) -> str:
    done = subprocess.run(  # noqa: S603
        [
            *(system.postgres.bin_dir / "pgbench", "-n", "-M", "prepared", "-f", script),
            *("-c", str(clients), "-j", str(min(2, clients)), "-T", str(seconds)),
            system.postgres.dsn(_DATABASE),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
        cwd="/",
    )
    if done.returncode:
        raise LauncherError(f"pgbench failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _first(pattern: re.Pattern[str], text: str) -> float:
    found = pattern.search(text)
    if found is None:
        raise LauncherError(f"pgbench said nothing of {pattern.pattern}.")
    return float(found[1])
