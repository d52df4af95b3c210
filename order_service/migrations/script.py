"""Runs a file of plain SQL inside Alembic's transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only

_FOLDER = Path(__file__).parent / "sql"


def run_script(name: str) -> None:
    """Run all statements of ``sql/<name>``, as they stand: no placeholders, nothing to escape."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    await_only(driver.execute((_FOLDER / name).read_text("utf-8")))
