"""A planted bug is data: what to read instead of what, and which test is expected to say so first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".data", "__pycache__", ".*_cache", ".hypothesis", ".import_linter_cache", "node_modules"
)


class WrongPlace(Exception):
    """The text that a bug replaces is not there exactly once: the code has moved on, and the bug must follow."""


@dataclass(frozen=True)
class Bug:
    """One fault.

    ``sentence`` says what goes wrong. ``old`` stands in ``file`` exactly once, and ``new`` takes its place.
    ``caught_by`` are the tests (pytest's node ids, or files) that are run first.
    """

    name: str
    sentence: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]

    def plant(self, project: Path) -> None:
        """Put the fault into this copy of the project; raises ``WrongPlace``."""
        place = project / self.file
        if not place.is_file():
            raise WrongPlace(f"{self.name}: there is no file {self.file}")
        text = place.read_text()
        found = text.count(self.old)
        if found != 1:
            raise WrongPlace(f"{self.name}: {self.file} has the text {found} times instead of once: {self.old!r}")
        if self.old == self.new:
            raise WrongPlace(f"{self.name}: the old text is the new one")
        place.write_text(text.replace(self.old, self.new))


def copy_of(project: Path, target: Path) -> Path:
    """A copy of the project without what tools and servers leave behind."""
    shutil.copytree(project, target, ignore=_LEFT_OUT, symlinks=True)
    return target
