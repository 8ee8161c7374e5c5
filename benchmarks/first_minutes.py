"""From a fresh clone to each of three examples: the minutes that it takes.

``python -m benchmarks.first_minutes`` clones this repository into a temporary folder and installs it there.
"""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
_DN = "../a clone/.venv/bin/dn"
_PYTHON = "../a clone/.venv/bin/python"
EXAMPLES: dict[str, Sequence[Sequence[str]]] = {
    "a table: `table.yaml`": ((_PYTHON, "table.py"), (_DN, "sweep", "table.yaml")),
    "ResNet-18 on colour images: `resnet18.yaml`": ((_DN, "sweep", "resnet18.yaml", "--import", "resnet18"),),
    "a training loop of one's own: `own_loop.py`": ((_PYTHON, "own_loop.py"),),
}


def _minutes(commands: Sequence[Sequence[str]], folder: Path) -> float:
    begin = time.perf_counter()
    for command in commands:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) / 60


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        clone, examples = Path(name) / "a clone", Path(name) / "examples"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        installing = _minutes([("make", ".venv/installed")], clone)
        (clone / "examples").rename(examples)
        print("| example | minutes | with clone and installation |\n| --- | --: | --: |")
        for title, commands in EXAMPLES.items():
            minutes = _minutes(commands, examples)
            print(f"| {title} | {minutes:.1f} | {installing + minutes:.1f} |", flush=True)


if __name__ == "__main__":
    main()
