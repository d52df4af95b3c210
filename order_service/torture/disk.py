"""Disks that are full: a small one of our own where we may mount one, and processes that may not write any more.

| who we are | how a disk becomes full | what PostgreSQL meets |
|---|---|---|
| root | a small file system in memory with the tables of a chapter, filled to the last byte | ENOSPC |
| anybody | no file may be written (RLIMIT_FSIZE 0) by the backends | EFBIG, in the log of writes: PANIC |
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_SIZE_MB = 256
_NAME = "small-disk"
_BALLAST = "ballast"
_PIECE = 64 * 1024


class SmallDisk:
    """A file system of its own, for tables."""

    def __init__(self, root: Path, owner: Path) -> None:
        self._root = root
        self._owner = owner

    def room(self, name: str) -> Path:
        """A new folder on it that belongs to PostgreSQL's user."""
        folder = self._root / name
        folder.mkdir(mode=0o700)
        whose = self._owner.stat()
        os.chown(folder, whose.st_uid, whose.st_gid)
        return folder

    def fill(self) -> None:
        """Leave no room at all."""
        with (self._root / _BALLAST).open("ab", buffering=0) as ballast:
            for size in (_PIECE, 4096, 1):
                with suppress(OSError):
                    while ballast.write(b"x" * size):
                        pass

    def empty(self) -> None:
        """Give the room back."""
        (self._root / _BALLAST).unlink()


def small_disk(folder: Path, owner: Path) -> SmallDisk | None:
    """Make one in the folder; None where we may not. ``owner``: a folder of PostgreSQL's user."""
    root = folder / _NAME
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        return None
    root.mkdir()
    options = f"size={_SIZE_MB}m,mode=755"
    command = [mount, "-t", "tmpfs", "-o", options, "none", str(root)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    return SmallDisk(root, owner) if done.returncode == 0 else None


def release(folder: Path) -> None:
    """Take the small disk of this folder away, if there is one."""
    umount = shutil.which("umount")
    if umount is not None and os.path.ismount(folder / _NAME):
        subprocess.run([umount, "-l", folder / _NAME], capture_output=True, check=False)  # noqa: S603


def forbid_writing(pids: Iterable[int]) -> int:
    """Let no process of these write to a file any more; how many."""
    forbidden = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
            forbidden += 1
    return forbidden
