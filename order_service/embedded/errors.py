"""What goes wrong when servers are started on somebody's machine, in words for that somebody."""

from __future__ import annotations

import errno


class LauncherError(Exception):
    """A server cannot be started; the message is one plain sentence that says what to do about it.

    When the server itself gave up, the last lines of its log follow the sentence.
    """


def from_os_error(error: OSError, what: str) -> LauncherError:
    """Say in plain words why `what` (a short clause: "the data folder X could not be written") failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LauncherError(f"{_capital(what)} because no space is left on the disk.")
    if error.errno == errno.EROFS:
        return LauncherError(f"{_capital(what)} because its disk is read-only.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return LauncherError(f"{_capital(what)} because this user may not do so.")
    return LauncherError(f"{_capital(what)}: {error.strerror or error}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
