"""What ``ray submit`` runs on the head node: ``dn sweep`` on the cluster that the node belongs to.

``ray submit cluster.yaml sweeps/run.py sweeps/paper/lenet5.yaml`` copies this file alone; the project is on the node
already, and a sweep file that is not in the working folder is looked for there.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "sweeps.run":  # as a module of the package it would hide the function of this name
    raise ImportError("this file is a script, for `ray submit` and `python -m sweeps.run`; in Python: sweeps.run(…)")


def main(arguments: Sequence[str]) -> int:
    """Run ``dn sweep`` with these arguments and return its exit code."""
    import sweeps
    from sweeps.cli import main as cli

    project = Path(sweeps.__file__).parents[1]
    found = [_in_project(argument, project) for argument in arguments]
    address = [] if "--address" in arguments else ["--address", os.environ.get("RAY_ADDRESS", "auto")]
    return cli.main(["sweep", *address, *found])


def _in_project(argument: str, project: Path) -> str:
    """Return a sweep file's path where the project has it, any other argument as it is."""
    inside = project / argument
    return str(inside) if not Path(argument).exists() and inside.is_file() else argument


if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # this script's folder: a home, whose files must not take the place of modules
    sys.exit(main(sys.argv[1:]))
