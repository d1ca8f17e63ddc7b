"""``python -m medkit``, and the script ``medkit``."""

import signal
import sys


def run() -> None:
    """Run a command and leave with its exit status; Ctrl-C once more shows no traceback."""
    try:
        from medkit.cli import main

        status = main()
    except KeyboardInterrupt:
        status = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


if __name__ == "__main__":
    run()
