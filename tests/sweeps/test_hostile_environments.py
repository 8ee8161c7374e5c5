"""The same tiny sweep gives the same bits wherever it is run: odd folders, odd shells, no home, no streams, names that
are taken, and a store that was moved or that one may only read.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tracking import schema
from tracking.results import rows as reader
from tracking.store import artifacts
from tracking.store import location as store
from tracking.store.sweep_store import SweepStore

pytestmark = pytest.mark.timeout(600)

DN = [sys.executable, "-P", "-m", "sweeps.cli"]
NAMESPACE = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
"""Mounts of its own for one command, as a container has; only root can."""
SWEEP = """
name: tiny
task: regression
dataset: {name: linear_scripted, samples: 200}
seeds: 2
training: {epochs: 2, batch_size: 32}
methods:
  - {label: "ℓ1+P [ours] $x_1$", l1: 1.0e-3}
  - {label: "=DN+P", dn: 1.0e-3}
resources: {pack: 2}
"""
TEXTS = ("table.csv", "table.md", "table.tex", "comparisons.csv", "statistics.md")
OF_ANOTHER_SHELL = {
    **{"GIT_DIR": "/none/.git", "GIT_WORK_TREE": "/none", "GIT_INDEX_FILE": "/none/index", "GIT_CONFIG_COUNT": "x"},
    **{"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": "/dev/null/none"},
    **{f"{kind}_proxy": "http://192.0.2.1:1" for kind in ("http", "https", "all", "HTTP", "HTTPS", "ALL")},
    **{"MLFLOW_TRACKING_URI": "http://192.0.2.1:1", "MLFLOW_EXPERIMENT_ID": "12345", "MLFLOW_RUN_ID": "none"},
    **{"MLFLOW_EXPERIMENT_NAME": "another", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true"},
    **{"MLFLOW_ENABLE_ASYNC_LOGGING": "true", "MLFLOW_ENABLE_WORKSPACES": "true", "MLFLOW_REGISTRY_URI": "databricks"},
    **{"PYTHONHASHSEED": "7", "PYTHONOPTIMIZE": "1", "PYTHONIOENCODING": "ascii", "PYTORCH_JIT": "0"},
    **{"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    **{"TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "tr_TR", "COLUMNS": "20", "LINES": "3", "NO_COLOR": "1"},
    **{"SOURCE_DATE_EPOCH": "0", "RAY_ADDRESS": "192.0.2.1:1", "TERM": "dumb", "CUBLAS_WORKSPACE_CONFIG": ":0:0"},
}
MATPLOTLIBRC = "lines.linewidth: 9\naxes.grid: True\nfont.family: cursive\nsavefig.dpi: 30\n"
MODULES = (
    *("tracking", "sweeps", "dn_distributed", "torch", "numpy", "scipy", "ray", "mlflow", "matplotlib", "yaml", "rich"),
    *("pydantic", "safetensors", "sqlalchemy", "optuna", "pandas", "requests", "sitecustomize", "usercustomize"),
    *("json", "random", "string", "logging", "types", "copy", "queue", "statistics", "platform", "secrets", "token"),
)


@dataclass(frozen=True)
class Folder:
    """A working folder in which the sweep is run."""

    path: Path

    def run(self, *words: str, within: str | None = None, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run ``dn``, after the command ``within`` in mounts of its own; ``options`` as of ``subprocess.run``."""
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "env": variables(), **options}
        command = [*DN, *words]
        if within is not None:  # the working folder is entered again, where something is mounted over it
            command = [*NAMESPACE, f'{within} && cd "$PWD" && exec "$@"', "sh", *command]
        return subprocess.run(command, cwd=self.path, encoding="utf-8", errors="replace", check=False, **options)

    def sweep(self, **options: Any) -> None:
        """Run the sweep, with its report in the folder ``out``."""
        done = self.run("sweep", "tiny.yaml", "--num-cpus", "1", "--report", "out", **options)
        assert done.returncode == 0, (done.stdout, done.stderr)

    def files(self) -> dict[str, str]:
        """The checksums of what a report holds, its page with times and places aside."""
        report = self.path / "out" / "tiny"
        found = {path.name: digest(path) for path in sorted(report.glob("figures/*.png"))}
        assert found
        return found | {name: digest(report / name) for name in TEXTS}

    def rows(self) -> list[dict[str, Any]]:
        """The results of all replicates, as in ``rows.json``."""
        found = json.loads((self.path / "out" / "tiny" / "rows.json").read_text("utf-8"))
        return sorted(map(untimed, found["replicates"]), key=lambda row: (row["method"], row["seed"]))

    def weights(self) -> dict[str, str]:
        """The checksums of the weights of all replicates, by replicate key."""
        location = store.locate(folder=self.path / store.FOLDER)
        sweep = SweepStore.find(location, "tiny")
        found = reader.read(sweep).rows
        return {
            row.replicate_key: digest(artifacts.path_of(location, row.run_id, schema.WEIGHTS_FILE)) for row in found
        }

    def commits(self) -> set[str]:
        location = store.locate(folder=self.path / store.FOLDER)
        found = SweepStore.find(location, "tiny").records("replicate", tags=["version.commit"])
        return {record.tags.get("version.commit", "") for record in found}


def untimed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row less what differs between two runs of the same work."""
    metrics = {name: value for name, value in row["metrics"].items() if not name.startswith("time/")}
    return {**{name: value for name, value in row.items() if name != "run_id"}, "metrics": metrics}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def variables(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_SHELL} | more


def make(path: Path) -> Folder:
    path.mkdir(parents=True)
    (path / "tiny.yaml").write_text(SWEEP, encoding="utf-8")
    return Folder(path)


def assert_same(found: Folder, expected: Folder) -> None:
    assert len(expected.weights()) == len(expected.rows()) == 4
    assert found.rows() == expected.rows()
    assert found.weights() == expected.weights()
    assert found.files() == expected.files()
    assert found.commits() == expected.commits()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made = make(tmp_path_factory.mktemp("plain") / "folder")
    made.sweep()
    return made


@pytest.fixture
def own_mounts() -> None:
    try:
        able = subprocess.run([*NAMESPACE, "mount --bind /dev/null /etc/passwd"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare (Linux)")
    if able.returncode:
        pytest.skip("needs root, to mount")


@pytest.mark.slow
def test_another_shell_in_an_odd_folder(plain: Folder, tmp_path: Path) -> None:
    odd = make(tmp_path / "job%41 ü?#[a]{b} 'q' $HOME;x")
    (odd.path / "matplotlibrc").write_text(MATPLOTLIBRC)
    odd.sweep(env=variables(**OF_ANOTHER_SHELL))
    assert_same(odd, plain)
    assert [path.name for path in tmp_path.iterdir()] == [odd.path.name]  # nothing beside it


@pytest.mark.slow
def test_a_folder_full_of_files_that_are_called_as_modules_are(plain: Folder, tmp_path: Path) -> None:
    full = make(tmp_path / "full")
    for name in MODULES:
        (full.path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the working folder was imported')\n")
    (full.path / "mlruns").mkdir()
    (full.path / "mlflow.db").write_text("no database")
    (full.path / ".env").write_text("MLFLOW_TRACKING_URI=http://192.0.2.1:1\n")
    full.sweep()
    assert_same(full, plain)


@pytest.mark.slow
@pytest.mark.usefixtures("own_mounts")
def test_a_user_without_a_name_and_a_home(plain: Folder, tmp_path: Path) -> None:
    homeless = make(tmp_path / "homeless")
    ours = {name: value for name, value in variables().items() if name not in ("HOME", "USER", "LOGNAME", "USERNAME")}
    homeless.sweep(env=ours, within="mount --bind /dev/null /etc/passwd")
    assert_same(homeless, plain)


@pytest.mark.slow
def test_closed_streams_and_a_home_that_cannot_be_written_to(plain: Folder, tmp_path: Path) -> None:
    closed = make(tmp_path / "closed")
    words = shlex.join([*DN, "sweep", "tiny.yaml", "--report", "out"])
    subprocess.run(["sh", "-c", f"{words} <&- >&- 2>&-"], cwd=closed.path, env=variables(HOME="/dev/null"), check=True)
    assert_same(closed, plain)


@pytest.mark.slow
def test_a_store_that_was_moved_is_read_and_goes_on_where_it_lies(plain: Folder, tmp_path: Path) -> None:
    shutil.copytree(plain.path, tmp_path / "copy")
    before = snapshot(plain.path)
    moved = Folder(tmp_path / "moved")
    (tmp_path / "copy").rename(moved.path)
    shutil.rmtree(moved.path / "out")
    again = moved.run("sweep", "tiny.yaml", "--report", "out")
    assert again.returncode == 0, again.stderr
    assert "4 done, 0 to run" in again.stdout
    assert_same(moved, plain)
    assert snapshot(plain.path) == before


@pytest.mark.slow
@pytest.mark.usefixtures("own_mounts")
def test_a_store_that_one_may_only_read(plain: Folder, tmp_path: Path) -> None:
    mounted = f"mount --bind {plain.path} {plain.path} && mount -o remount,ro,bind {plain.path}"
    before = snapshot(plain.path)
    assert "complete" in plain.run("status", "tiny", within=mounted).stdout
    report = plain.run("report", "tiny", "--out", str(tmp_path / "out"), within=mounted)
    assert report.returncode == 0, report.stderr
    assert digest(tmp_path / "out" / "table.csv") == digest(plain.path / "out" / "tiny" / "table.csv")
    export = plain.run("export", "tiny", str(tmp_path / "tiny.zip"), within=mounted)
    assert export.returncode == 0, export.stderr
    written = plain.run("sweep", "tiny.yaml", "--set", "seeds=3", within=mounted)
    assert written.returncode == 2, (written.stdout, written.stderr)
    assert len(written.stderr.strip().splitlines()) == 1
    assert snapshot(plain.path) == before


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files, those of SQLite's readers and of Python aside."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm", ".pyc"))
    }
