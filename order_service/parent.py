"""End with the process that started us, so that whoever is killed leaves nobody behind."""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
POLL_S = 0.5


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for this signal when the parent dies; where it cannot, look twice a second."""
    parent = os.getppid()
    if sys.platform == "linux" and _ask_kernel(number):
        if os.getppid() != parent:
            os._exit(1)
        return
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _ask_kernel(number: signal.Signals) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)) == 0


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)
