"""``python -m fleet_mlir``: the same as the command ``fleet``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
