"""Imports go down only: sweeps → tracking → dn_distributed, and inside each from wing to wing as ``ARROWS`` says.

No circle, not even of two files. An import for types alone counts, and so does one inside of a function.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.fabricated import Recorder, make_cell
from tracking.store import embedded, location

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "dn_distributed": {"ray", "mlflow", "tracking", "sweeps"},
    "tracking": {"ray", "sweeps"},
    "sweeps": {"ray.train", "ray.air"},
}
"""Per package, the modules that no file of it imports. Of Ray, sweeps use Tune alone."""


def imported(source: str) -> Iterator[str]:
    """Yield the absolute names that a source imports; ``from a import b`` is ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(source: str, forbidden: set[str]) -> list[str]:
    return [name for name in imported(source) if any(f"{name}.".startswith(f"{module}.") for module in forbidden)]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_import_goes_up(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {
        str(file.relative_to(ROOT)): names
        for file in files
        if (names := violations(file.read_text("utf-8"), FORBIDDEN[package]))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import ray",
        "import ray.tune as tune",
        "from ray import tune",
        "from ray.tune import Tuner",
        "def late():\n    import ray",
        "if TYPE_CHECKING:\n    import ray",
    ],
)
def test_every_form_of_import_is_seen(source: str) -> None:
    assert violations(source, {"ray"})


@pytest.mark.parametrize("source", ["import rayon", "from . import ray", "import numpy as ray", "x = 'import ray'"])
def test_other_names_are_no_violation(source: str) -> None:
    assert not violations(source, {"ray"})


ARROWS: dict[str, set[str]] = {
    # A wing is a package, or a module that stands by itself; ``*`` are the other modules at the top of a package. Per
    # wing, the wings of the same package that it may import.
    "dn_distributed.*": set(),
    "dn_distributed.random_weights": {"*"},
    "dn_distributed.regularizers": {"random_weights", "*"},
    "dn_distributed.proximal": {"regularizers", "*"},
    "dn_distributed.data": {"*"},
    "dn_distributed.tasks": {"data", "regularizers", "*"},
    "dn_distributed.replicas": {"tasks", "regularizers", "random_weights", "*"},
    "dn_distributed.compaction": {"*"},
    "dn_distributed.dropping": {"replicas", "tasks", "*"},
    "dn_distributed.training": {
        *("compaction", "dropping", "proximal", "replicas", "tasks", "data", "regularizers", "random_weights", "*")
    },
    "dn_distributed.baselines": {"training", "data", "*"},
    "dn_distributed.own_code": {"tasks", "data", "regularizers", "*"},
    "dn_distributed.networks": {"compaction", "regularizers", "random_weights", "*"},
    "dn_distributed.exporting": {"compaction", "*"},
    "dn_distributed": {"compaction", "networks", "own_code", "proximal", "tasks", "data", "regularizers", "*"},
    "tracking.*": set(),
    "tracking.store": {"*"},
    "tracking.results": {"store", "*"},
    "tracking.tables": {"results", "store", "*"},
    "tracking.figures": {"tables", "results", "store", "*"},
    "tracking.charts": {"figures", "tables", "results", "store", "*"},
    "tracking.report": {"charts", "figures", "tables", "results", "store", "*"},
    "tracking.portable": {"tables", "results", "store", "*"},
    "tracking.server": {"store", "*"},
    "tracking.mlflow_app": {"server"},
    "tracking.sweep_results": {"tables", "results", "store", "*"},
    "tracking.compacting": {"results", "store", "*"},
    "tracking": {"sweep_results", "store", "*"},
    "sweeps.*": set(),
    "sweeps.spec": {"*"},
    "sweeps.planning": {"spec", "*"},
    "sweeps.cluster": {"*"},
    "sweeps.tune": {"cluster", "planning", "spec", "*"},
    "sweeps.running": {"tune", "cluster", "planning", "spec", "*"},
    "sweeps.cli": {"running", "tune", "cluster", "planning", "spec", "*"},
    "sweeps.run": {"cli", ""},
    "sweeps": {"running", "spec", "*"},
}


def modules() -> dict[str, Path]:
    """Every module of the three packages; a package by its own name."""
    files = [file for package in FORBIDDEN for file in sorted((ROOT / package).rglob("*.py"))]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """By module, those of the three packages that it imports; ``from package import name`` may be of either kind."""
    known = modules()

    def module_of(name: str) -> str:
        while name and name not in known:
            name = name.rpartition(".")[0]
        return name

    return {
        module: {module_of(name) for name in imported(file.read_text("utf-8"))} - {"", module}
        for module, file in known.items()
    }


def wing_of(module: str) -> str:
    package, _, inside = module.partition(".")
    wing = f"{package}.{inside.partition('.')[0]}".rstrip(".")
    if wing in ARROWS:
        return wing
    return f"{package}.*"


def test_wings_import_only_what_is_below_them(graph: dict[str, set[str]]) -> None:
    assert {wing_of(module) for module in graph} == ARROWS.keys()
    wrong = []
    for module, below in graph.items():
        wing = wing_of(module)
        package = wing.partition(".")[0]
        allowed = {wing, *(f"{package}.{name}".rstrip(".") for name in ARROWS[wing])}
        found = {other for other in below if other.partition(".")[0] == package and wing_of(other) not in allowed}
        wrong += [f"{module} imports {other}" for other in sorted(found)]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle(graph: dict[str, set[str]]) -> None:
    assert circles(graph) == []


def circles(graph: dict[str, set[str]]) -> list[str]:
    """What is left when modules that import none of the others are taken away, again and again, is in a circle or
    imports one; and so the other way round.
    """
    left = {module: set(below) for module, below in graph.items()}
    while True:
        imports = {module for module, below in left.items() if below & left.keys()}
        are_imported = set().union(*left.values()) if left else set()
        kept = imports & are_imported
        if kept == left.keys():
            return sorted(kept)
        left = {module: left[module] & kept for module in kept}


@pytest.mark.parametrize(
    ("graph_", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, ["a", "b"]),
        ({"above": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a", "below"}, "below": set()}, ["a", "b", "c"]),
    ],
)
def test_circles_are_found(graph_: dict[str, set[str]], expected: list[str]) -> None:
    assert circles(graph_) == expected


LARGE = {"torch", "mlflow", "ray", "scipy"}
"""They take seconds to import, and up to half a gigabyte."""


@pytest.fixture(scope="module")
def folder_with_a_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        store = location.locate()
    embedded.prepare(store)
    recorder = Recorder(store, "a-sweep")
    cell = make_cell(l1=0.1)
    recorder.announce({"first": [cell]}, seeds=(0, 1))
    recorder.finish(cell, 0, 1, label="first")
    return folder


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["--help"], LARGE),
        (["sweep", "--help"], LARGE),
        (["status", "a-sweep"], LARGE),
        (["report", "a-sweep", "--out", "out"], {"torch", "ray"}),
    ],
    ids=["help", "help of a verb", "status", "report"],
)
def test_a_command_waits_for_no_library_that_it_can_do_without(
    arguments: list[str], without: set[str], folder_with_a_store: Path
) -> None:
    script = f"import sys; from sweeps.cli.main import main; code = main({arguments!r}); print('exit code', code)"
    script += f"; print(*{without!r} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder_with_a_store, text=True, capture_output=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["exit code 0", ""]


def test_figures_are_drawn_from_rows_without_torch_and_ray(tmp_path: Path) -> None:
    rows = ROOT / "docs" / "results" / "grid-lenet300" / "rows.json"
    drawn = f"main(['report', '--from', {str(rows)!r}, '--out', {str(tmp_path)!r}])"
    script = f"import sys; from sweeps.cli.main import main; {drawn}; print(*{{'torch', 'ray'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.splitlines() == [f"report: {tmp_path / 'report.html'}", ""]
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"{name}.{end}" for name in ("tradeoff", "pareto", "neurons") for end in ("png", "svg")}
