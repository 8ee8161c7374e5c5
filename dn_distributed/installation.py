"""Are our packages our own? ``sweeps`` and ``tracking`` are names that others use too, for packages and for files."""

from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("dn_distributed", "tracking", "sweeps")

_HOME = Path(__file__).parents[1]


def foreign_package(home: Path = _HOME) -> str | None:
    """Return one line about a package of ours that Python would take from elsewhere than ``home``; None if none."""
    for name in PACKAGES:
        spec = find_spec(name)
        found = _folders(spec) if spec is not None else ()
        if (home / name).resolve() not in (folder.resolve() for folder in found):
            where = ", ".join(map(str, found)) or (spec.origin if spec is not None else None) or "nowhere"
            return (
                f"Python finds {name} in {where}, which is not DropNeuron's own ({home / name}): "
                "rename it, take its folder out of PYTHONPATH, or install DropNeuron in an environment of its own"
            )
    return None


def _folders(spec: ModuleSpec) -> Sequence[Path]:
    return [Path(folder) for folder in spec.submodule_search_locations or ()]
