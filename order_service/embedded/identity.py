"""As whom PostgreSQL runs: it refuses root, and a user number that has no name.

Three ways, the first that fits:

- an ordinary user with a name: directly;
- root, or a number without a name: in a user namespace where we are `nobody`. Files stay ours, and closed
  parent folders are no hindrance;
- root where namespaces are forbidden (most containers): as another user, with the single power to pass closed
  folders, so that neither the program nor the data has to be copied to an open place.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from order_service.embedded.errors import LauncherError

_NOBODY = 65534


def prefix(data: Path, death_signal: str) -> list[str]:
    """What to put before a command of PostgreSQL that works on the folder `data`.

    `death_signal` is the name (`INT`) of the signal the command gets when the launcher dies: the kernel forgets
    that promise when a process changes its user, so the command that changes the user has to renew it.
    """
    if os.geteuid() != 0:
        return [] if _has_name(os.geteuid()) else _namespace_or_refuse()
    owner = data.stat().st_uid if data.exists() else None
    if owner is not None and owner != 0:
        return _as_user(owner, death_signal)
    if (namespace := _namespace()) is not None:
        return namespace
    if owner == 0:
        _give_away(data, _NOBODY)
    return _as_user(_NOBODY, death_signal)


def prepare(folder: Path, command_prefix: list[str]) -> None:
    """Make an empty folder for the data, owned by whom the prefix stands for."""
    folder.mkdir(mode=0o700)
    if command_prefix[:1] and Path(command_prefix[0]).name == "setpriv":
        os.chown(folder, _NOBODY, _NOBODY)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _namespace() -> list[str] | None:
    """The command for a user namespace, if there is one and the kernel allows it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    command = [unshare, "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--"]
    trial = subprocess.run([*command, "true"], capture_output=True, check=False)  # noqa: S603
    return command if trial.returncode == 0 else None


def _namespace_or_refuse() -> list[str]:
    namespace = _namespace()
    if namespace is None:
        raise LauncherError(
            f"PostgreSQL refuses to run for user number {os.geteuid()}, which has no name on this machine; "
            "run as a user with a name, or set ORDER_SERVICE_DATABASE_URL to a PostgreSQL that runs elsewhere."
        )
    return namespace


def _as_user(uid: int, death_signal: str) -> list[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise LauncherError(
            "PostgreSQL refuses to run as root, and neither unshare nor setpriv can change that here; "
            "run as an ordinary user, or set ORDER_SERVICE_DATABASE_URL to a PostgreSQL that runs elsewhere."
        )
    passing = ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    user = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return [setpriv, *user, *passing, f"--pdeathsig={death_signal}", "--"]


def _give_away(folder: Path, uid: int) -> None:
    """Hand data that root made in a namespace to the user we now have to be."""
    for parent, _, files in os.walk(folder):
        os.chown(parent, uid, uid)
        for name in files:
            os.chown(Path(parent, name), uid, uid, follow_symlinks=False)
