"""``python -m medkit``."""

import sys

from medkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
