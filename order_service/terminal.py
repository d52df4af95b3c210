"""What every command of the terminal needs: settings, and one sentence when something is wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from order_service.config import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def fail(sentence: object) -> NoReturn:
    """Say what is wrong in one sentence and end with exit code 1."""
    print(f"order-service: {sentence}", file=sys.stderr)
    raise SystemExit(1)


def settings(**overrides: object) -> Settings:
    """The settings of the environment, or one sentence about what is wrong with them."""
    from order_service.config import BadSettings, load_settings

    try:
        return load_settings(**overrides)
    except BadSettings as error:
        fail(error)
