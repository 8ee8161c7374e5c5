"""What the command ``dn`` starts: the name of this package is its own, so what is said here can always be said."""

import sys
from importlib import import_module

from dn_distributed.installation import foreign_package

_BAD_INPUT, _INTERRUPTED = 2, 130


def main() -> int:
    """Run ``dn`` and return its exit code, or say which package stands in its way."""
    if (line := foreign_package()) is not None:
        print(f"dn: {line}", file=sys.stderr)
        return _BAD_INPUT
    try:
        command = import_module("sweeps.cli.main")
    except KeyboardInterrupt:  # the first half second; from then on the command sees to it
        print("dn: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return int(command.main())


if __name__ == "__main__":
    sys.exit(main())
