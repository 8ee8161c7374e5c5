"""Modules of the user's come after the installation, in the driver and in workers, and what they raise is told."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from rich.console import Console

from sweeps.cluster.connection import Capacity
from sweeps.errors import ClusterError, SpecError
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
from sweeps.spec.own_modules import OwnModules
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from tests.tracking.stores import copy_of
from tracking.store.location import FOLDER, StoreLocation

OWN_TASK = """
from typing import Literal

from dn_distributed.tasks import TASKS
from dn_distributed.tasks.regression import Regression


class Mine(Regression):
    name: Literal["mine"] = "mine"


TASKS["mine"] = Mine
"""

TAKING = """
import dn_distributed as dn


@dn.register_penalty
class Mine(dn.L1):
    pass
"""

SWEEP = """
name: small
task: mine
dataset: {name: linear_scripted, samples: 50}
seeds: 2
training: {epochs: 1}
methods: [{label: P}]
"""

NAMES = ("mlflow", "torch", "types", "random", "yaml", "tracking", "optuna", "sqlalchemy", "psutil")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.slow
def test_files_called_as_modules_that_we_use_change_nothing_and_no_home_is_needed(tmp_path: Path) -> None:
    odd = {"HOME": "/nonexistent", "TMPDIR": str(tmp_path / ("long" * 25))}
    Path(odd["TMPDIR"]).mkdir()
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one was imported')")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "__init__.py").touch()
    (tmp_path / "own.py").write_text(OWN_TASK)
    (tmp_path / "small.yaml").write_text(SWEEP)
    command = [
        sys.executable,
        "-P",
        "-m",
        "dn_distributed",
        "--log-level",
        "warning",
        "sweep",
        "small.yaml",
        "--num-cpus",
        "1",
        "--import",
        "own",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | odd, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_workers_find_modules_where_their_python_finds_them(capacity: Capacity) -> None:
    def path() -> list[str]:
        return sys.path

    found = ray.get(ray.remote(path).remote())
    before_all_modules = found[: found.index(os.path.dirname(os.__file__))]
    assert os.getcwd() not in before_all_modules
    assert os.path.dirname(os.path.realpath(sys.argv[0])) not in before_all_modules


def test_what_a_module_raises_in_a_worker_ends_the_sweep(
    capacity: Capacity, empty: StoreLocation, tmp_path: Path
) -> None:
    (tmp_path / "picky.py").write_text(
        f"import os\nif os.getpid() != {os.getpid()}:\n    raise ImportError('no libfoo here')\n"
    )
    (tmp_path / "small.yaml").write_text(SWEEP.replace("mine", "regression"))
    location = copy_of(empty, tmp_path / "dn-store")
    sweep = spec.load(tmp_path / "small.yaml")
    runner = Runner(sweep, load_data(sweep, None), location, modules=OwnModules(str(tmp_path), ("picky",)).load())
    with pytest.raises(ClusterError, match=r"packs cannot be started on .*--import picky: ImportError: no libfoo here"):
        runner.run(runner.plan(), capacity, Progress(Console(quiet=True)))


def test_a_copy_loads_the_modules_where_it_arrives(tmp_path: Path) -> None:
    (tmp_path / "arrives.py").write_text("print('loaded')")
    sent = pickle.dumps(OwnModules(str(tmp_path), ("arrives",)))
    script = f"import pickle, sys; pickle.loads({sent!r}); assert sys.path[-1] == {str(tmp_path)!r}"
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=True)
    assert done.stdout == "loaded\n"


SCRIPT = """
import sys

import own
import sweeps

sweep = {"name": "small", "task": "mine", "dataset": {"name": "linear_scripted", "samples": 50}, "seeds": 2,
         "training": {"epochs": 1}, "methods": [{"label": "P"}]}
print(len(sweeps.run(sweep, imports=["own"], num_cpus=1, progress=False).rows))
"""


@pytest.mark.slow
def test_workers_find_what_lies_beside_a_script_of_another_folder(empty: StoreLocation, tmp_path: Path) -> None:
    for folder in ("scripts", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "scripts" / "own.py").write_text("import sizes\n" + OWN_TASK)
    (tmp_path / "scripts" / "sizes.py").touch()
    (tmp_path / "scripts" / "run_it.py").write_text(SCRIPT)
    copy_of(empty, tmp_path / "elsewhere" / FOLDER)
    command = [sys.executable, str(tmp_path / "scripts" / "run_it.py")]
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", text=True, capture_output=True, check=False)
    assert done.stdout == "2\n", done.stderr


@pytest.mark.parametrize("name", ["beside", "own_package.beside", "own_package"])
def test_a_copy_finds_a_module_where_it_was_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_package").mkdir()
    for file in ("beside.py", "own_package/__init__.py", "own_package/beside.py"):
        (tmp_path / file).write_text("print(__file__)")
    for known in ("beside", "own_package.beside", "own_package"):
        monkeypatch.delitem(sys.modules, known, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    sent = pickle.dumps(OwnModules("/elsewhere", (name,)).load())
    script = f"import pickle, sys; pickle.loads({sent!r}); assert {str(tmp_path)!r} in sys.path[-2:]"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("absent", None, r"^--import absent: No module named 'absent'$"),
        ("../mine.py", None, r"^--import ../mine.py: give the module's name, without path or .py, as --import mine$"),
        ("mine.py", None, r"^--import mine.py: give the module's name, without path or .py, as --import mine$"),
        ("folder/mine", None, "give the module's name"),
        ("broken_one", "x = (", r"^--import broken_one: SyntaxError: "),
        ("ending", "raise SystemExit(3)", r"^--import ending: SystemExit: 3$"),
        ("yaml", "", r"^--import yaml: .*/yaml.py has the name of another module \(.*\); rename it$"),
        (
            "taking",
            TAKING,
            r"^--import taking: ArgumentError: penalty Mine: the name 'l1' is taken by dn_.*L1; give it",
        ),
        ("builtins", "", r"^--import builtins: .* another module \(Python itself\); rename it$"),
    ],
)
def test_a_module_that_cannot_be_had_is_one_line(name: str, content: str | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / f"{name}.py").write_text(content)
    with pytest.raises(SpecError, match=reason):
        OwnModules(str(tmp_path), (name,)).load()
