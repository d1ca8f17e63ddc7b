"""Python processes of our own: how many cores they have, how they begin, and end with us."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def arguments(module: str, *given: str, **environment: str) -> dict[str, Any]:
    """What ``subprocess`` takes to run ``python -m module`` with this process's search path.

    Ctrl-C reaches the parent alone, which ends its children in order.

    Args:
        module: The module to run.
        given: Its arguments.
        environment: Variables for the child, where this process has none of that name.
    """
    # The parent's search path, without the working folder that -m would put first.
    path = os.pathsep.join(each or os.getcwd() for each in sys.path)
    return {
        "args": [sys.executable, "-P", "-m", module, *given],
        "env": {**environment, **os.environ, "PYTHONPATH": path},
        "start_new_session": True,
    }


def begin(module: str, *given: str, **streams: Any) -> subprocess.Popen[bytes]:
    """Start a child that holds our standard input's other end: see ``when_parent_is_gone``."""
    return subprocess.Popen(**arguments(module, *given), stdin=subprocess.PIPE, **streams)


def when_parent_is_gone(act: Callable[[], Any]) -> None:
    """In a child: call ``act`` as soon as nobody holds the other end of standard input.

    That is when the parent ends, killed or not: no orphan continues its work.
    """

    def wait() -> None:
        while os.read(0, 1):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()
