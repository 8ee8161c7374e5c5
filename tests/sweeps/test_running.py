"""A sweep from Python is the sweep of the command line: its validation, its errors, its results."""

import runpy
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import sweeps
import tracking
from tests.tracking.stores import copy_of
from tracking.store.location import FOLDER, StoreLocation

ROOT = Path(__file__).parents[2]
SWEEP: dict[str, Any] = {
    "name": "x",
    "task": "regression",
    "seeds": 2,
    "training": {"epochs": 1},
    "methods": [{"label": "P"}, {"label": "L1", "l1": 1e-5}],
}


def test_importing_sets_no_environment_variable_and_no_signal_handler() -> None:
    script = (
        "import os, signal; import tracking\n"
        "before = dict(os.environ), signal.getsignal(signal.SIGINT); import sweeps; sweeps.load\n"
        "assert (dict(os.environ), signal.getsignal(signal.SIGINT)) == before"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_dictionary_means_what_a_file_does(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    sweep = sweeps.load(SWEEP, {"seeds": [4, 9], "methods.1.l1": 0.5})
    path.write_text(sweep.source, encoding="utf-8")
    from_file = sweeps.load(path)
    assert (sweep.methods, sweep.seeds, sweep.training) == (from_file.methods, (4, 9), from_file.training)
    assert sweep.methods[1].coefficients == {"l1": 0.5}
    assert sweeps.load(path, ["seeds=3"]).seeds == sweeps.load(SWEEP, {"seeds": 3}).seeds


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": [{"label": "P", "dm": 1}]}, "the given sweep: methods[0].dm: unknown key; valid: label,"),
        ({"methods": [{"label": "P", "l1": float("nan")}]}, "the given sweep: methods[0].l1: .nan is no decimal"),
        ({"task": object()}, "the given sweep: numbers, text, lists and dictionaries are what a sweep may hold, not"),
        ({3: 4}, "the given sweep: 3: this key is not text"),
    ],
)
def test_mistakes_are_exceptions_that_name_the_key(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(sweeps.SpecError) as told:
        sweeps.run({**SWEEP, **change})
    assert str(told.value).startswith(message)


def test_what_stands_twice_in_a_dictionary_is_no_alias() -> None:
    method = {"dn": [1e-5]}
    assert sweeps.load({**SWEEP, "methods": [{"label": "A", "l1": {"grid": method["dn"]}},
                                             {"label": "B", "l1": {"grid": method["dn"]}}]}).methods  # fmt: skip


def test_a_missing_data_folder_and_a_store_that_does_not_answer_are_exceptions(tmp_path: Path) -> None:
    with pytest.raises(tracking.StoreError, match="not supported"):
        sweeps.run(SWEEP, store="ftp://nowhere")
    from dn_distributed.data import DataError

    with pytest.raises(DataError, match="no such folder"):
        sweeps.run(SWEEP, data_dir=tmp_path / "nowhere")


@pytest.mark.slow
def test_a_thread_of_a_process_that_knows_ray_may_run_a_sweep(empty: StoreLocation, tmp_path: Path) -> None:
    """Where Ray was imported first, and by a thread that may not touch signals; the same again runs nothing."""
    import ray

    copy_of(empty, tmp_path / "s")
    found: list[tracking.Results] = []
    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: found.append(sweeps.run(SWEEP, store=tmp_path / "s", num_cpus=1)))
    thread.start()
    thread.join()
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGINT) is handler
    again = sweeps.run(SWEEP, store=tmp_path / "s", progress=False)
    assert [result.complete for result in (*found, again)] == [True, True]
    assert tracking.load_results("x", tmp_path / "s").to_frame().equals(again.to_frame())
    assert len(again.rows) == 4


LONG = """
import os, signal, sys, threading, time
import sweeps

def interrupt():
    while not any(name.endswith(".safetensors") for _, _, names in os.walk("dn-store") for name in names):
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

sweep = {"name": "long", "task": "lenet300", "dataset": "digits", "seeds": 2, "training": {"epochs": 100_000},
         "methods": [{"label": "P"}]}
threading.Thread(target=interrupt, daemon=True).start()
try:
    sweeps.run(sweep, num_cpus=1, checkpoint_seconds=1)
except KeyboardInterrupt as error:
    print("interrupted:", error, flush=True)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
time.sleep(9)  # longer than a command is given to end
print("and went on")
"""


@pytest.mark.slow
def test_ctrl_c_ends_the_sweep_and_not_the_process(empty: StoreLocation, tmp_path: Path) -> None:
    copy_of(empty, tmp_path / FOLDER)
    (tmp_path / "long.py").write_text(LONG, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "long.py"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=280,
    )
    assert done.stdout.splitlines() == [
        "interrupted: 0 of 2 replicates of long are in the store; run it again to go on",
        "and went on",
    ], done.stderr


def test_the_example_gives_a_table_and_a_frame(
    empty: StoreLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_of(empty, tmp_path / FOLDER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DN_TRACKING_URI", raising=False)
    runpy.run_path(str(ROOT / "examples" / "sweep_from_python.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert "|  | **P** | **ℓ1+P** | **ℓ1+DN+P** |" in shown
    assert "test/accuracy/after_pruning" in shown
