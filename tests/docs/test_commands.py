"""Every command of the product that a page names exists, with the options it is named with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache

from tests.docs.pages import name, pages

_NAMED = re.compile(r"order-service ((?:keys |torture )?[a-z]+(?:-[a-z]+)?)((?: [^\s`|]+| \|(?= list))*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z-]+")


@cache
def _help(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "order_service", *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "300", "NO_COLOR": "1"},
    )
    return done.stdout if done.returncode == 0 else ""


def test_every_command_that_is_written_down_exists_with_its_options() -> None:
    named = 0
    for page in pages():
        for command, rest in _NAMED.findall(page.read_text()):
            told = _help(command)
            assert told, f"{name(page)}: order-service {command}"
            assert [option for option in _OPTION.findall(rest) if option not in told] == [], f"{name(page)}: {command}"
            named += 1
    assert named > 20
