"""``python -m sweeps``: the command ``dn``."""

import sys

from dn_distributed.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
