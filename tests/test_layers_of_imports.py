"""The arrows between packages go down only: sweeps → tracking → dn_distributed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.fabricated import Recorder, make_cell
from tracking.store import location

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


LARGE = {"torch", "mlflow", "ray", "scipy"}
"""They take seconds to import, and up to half a gigabyte."""


@pytest.fixture(scope="module")
def folder_with_a_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        store = location.locate()
    location.prepare(store)
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
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"tradeoff.png", "pareto.png", "neurons.png"}
