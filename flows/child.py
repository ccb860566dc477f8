"""What a process does that the supervisor started."""

import ctypes
import logging
import os
import signal
import sys

PARENT = "HEATPUMP_SUPERVISOR"
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel end this process when its supervisor is gone, however that ended (Linux)."""
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it was gone before we asked
        os._exit(1)


def log_to_stderr() -> None:
    """Log one line an event; the supervisor reads the level off it."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
