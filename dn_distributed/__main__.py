"""What the command ``dn`` starts: the name of this package is its own, so what is said here can always be said."""

import sys
from importlib import import_module

from dn_distributed.installation import foreign_package

_BAD_INPUT = 2


def main() -> int:
    """Run ``dn`` and return its exit code, or say which package stands in its way."""
    if (line := foreign_package()) is not None:
        print(f"dn: {line}", file=sys.stderr)
        return _BAD_INPUT
    return int(import_module("sweeps.cli.main").main())


if __name__ == "__main__":
    sys.exit(main())
