"""Runs the shell blocks of one page in one shell, as a reader would, and keeps every answer that curl got.

A block runs in a folder of its own kind: there is a `.venv/bin/order-service`, and `.data/endpoints.json` says where
the system is. What the page calls http://127.0.0.1:8000 is the address of the system under test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.docs.pages import ROOT, Block
from tests.system.harness import System

ADDRESS = "http://127.0.0.1:8000"
PATIENCE_S = 60

# Called instead of curl: the same curl, whose answer is kept. Each answer has a folder, named in the order of calls.
_CURL = """#!/bin/sh
kept="$CALLS/$(printf %04d "$(ls "$CALLS" | wc -l)")"
mkdir "$kept"
"$REAL_CURL" "$@" -D "$kept/head" -o "$kept/body"
code=$?
[ ! -e "$kept/body" ] || cat "$kept/body"
exit $code
"""
_COMMAND = """#!/bin/sh
exec "$PYTHON" -m order_service "$@"
"""


_PYTHON = """#!/bin/sh
exec "$PYTHON" "$@"
"""


class Reply(NamedTuple):
    """One answer that curl got."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class Ran(NamedTuple):
    """What became of one block."""

    code: int
    output: str
    replies: list[Reply]


def run_blocks(shell_blocks: list[Block], system: System, folder: Path) -> list[Ran]:
    """Run the blocks one after the other in one shell; variables and files live on from one to the next."""
    real_curl = shutil.which("curl")
    assert real_curl is not None, "the examples need curl"
    for place in ("bin", "calls", "out", ".venv/bin", ".data"):
        (folder / place).mkdir(parents=True)
    for path, text in (("bin/curl", _CURL), (".venv/bin/order-service", _COMMAND), (".venv/bin/python", _PYTHON)):
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    (folder / "bin/order-service").symlink_to(folder / ".venv/bin/order-service")
    (folder / "docs").symlink_to(ROOT / "docs")
    known = {"api": system.api, "database": system.database, "kafka": system.bootstrap}
    known |= dict.fromkeys(("payment", "inventory", "cart"), system.partners)
    (folder / ".data/endpoints.json").write_text(json.dumps(known))
    script = "".join(
        f"{{\n{block.text.replace(ADDRESS, system.api)}}} >out/{number} 2>out/{number}.err\n"
        f'echo "$? $(ls calls | wc -l)" >out/{number}.end\n'
        for number, block in enumerate(shell_blocks)
    )
    env = os.environ | {
        "CALLS": str(folder / "calls"),
        "REAL_CURL": real_curl,
        "PYTHON": sys.executable,
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ORDER_SERVICE_DATABASE_URL": system.database,
        "COLUMNS": "120",
    }
    subprocess.run(["bash", "-c", script], cwd=folder, env=env, check=True, timeout=PATIENCE_S)
    ran, seen = [], 0
    for number, _ in enumerate(shell_blocks):
        code, calls = (int(word) for word in (folder / f"out/{number}.end").read_text().split())
        output = (folder / f"out/{number}").read_text() + (folder / f"out/{number}.err").read_text()
        ran.append(Ran(code, output, [_reply(folder / f"calls/{call:04d}") for call in range(seen, calls)]))
        seen = calls
    return ran


def _reply(kept: Path) -> Reply:
    head = (kept / "head").read_text().strip().split("\n\n")[-1].splitlines()
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = kept / "body"
    return Reply(int(head[0].split()[1]), headers, body.read_text() if body.exists() else "")


# --- what a page says an answer is ---


def check_reply(reply: Reply, told: Block, where: str) -> None:
    """An `http` block: a status line, headers that the answer has, and members that its body has.

    `"..."` stands for any text, and `...` inside a text or a header for any part of it.
    """
    head, _, body = told.text.partition("\n\n")
    first, *lines = head.splitlines()
    assert first.split()[1] == str(reply.status), f"{where}: {first!r}, but it was {reply.status} {reply.body}"
    for line in lines:
        name, _, value = line.partition(": ")
        found = reply.headers.get(name.lower())
        assert found is not None, f"{where}: there is no header {name}"
        assert same(found, value), f"{where}: {name} is {found!r}, not {value!r}"
    if body.strip():
        fault = differs(reply.json, json.loads(body), "")
        assert fault is None, f"{where}: {fault}\n{reply.body}"


def differs(found: Any, told: Any, path: str) -> str | None:
    """Where an answer is not what was told of it; members that were not told of may be there."""
    if isinstance(told, dict):
        if not isinstance(found, dict):
            return f"{path or '/'} is {found!r}"
        for key, value in told.items():
            if key not in found:
                return f"{path}/{key} is missing"
            fault = differs(found[key], value, f"{path}/{key}")
            if fault is not None:
                return fault
        return None
    if isinstance(told, list):
        if not isinstance(found, list) or len(found) != len(told):
            return f"{path} is {found!r}"
        return next(
            (f for n, (a, b) in enumerate(zip(found, told, strict=True)) if (f := differs(a, b, f"{path}/{n}"))), None
        )
    if isinstance(told, str) and isinstance(found, str):
        return None if same(found, told) else f"{path} is {found!r}, not {told!r}"
    return None if found == told and type(found) is type(told) else f"{path} is {found!r}, not {told!r}"


def same(found: str, told: str) -> bool:
    """Whether a text is what was told, `...` standing for any part of it."""
    return re.fullmatch(".*".join(re.escape(part) for part in told.split("...")), found, re.DOTALL) is not None
