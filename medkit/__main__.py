"""``python -m medkit``, and the script ``medkit``."""

import sys


def run() -> None:
    """Run a command and leave with its exit status."""
    from medkit.cli import main

    sys.exit(main())


if __name__ == "__main__":
    run()
