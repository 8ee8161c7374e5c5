"""``dn ui`` as a process: what it says, and what is left of it after a signal. In a browser: ``tests/browser``."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.served import free_port
from tests.tracking.stores import copy_of
from tracking.processes import marked
from tracking.store.location import FOLDER, StoreLocation

MARK = "UI_OF_A_TEST"
SECONDS_TO_END = 200


@pytest.fixture
def ui(empty: StoreLocation, tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    copy_of(empty, tmp_path / FOLDER)
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps.cli", "ui", "--port", str(free_port())],
        cwd=tmp_path,
        env={**os.environ, MARK: str(tmp_path), "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    hangs = threading.Timer(SECONDS_TO_END, process.send_signal, [signal.SIGABRT])  # it then says where
    hangs.start()
    yield process
    hangs.cancel()
    for left in marked(MARK, str(tmp_path)):
        os.kill(left, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("number", "code", "last"), [(signal.SIGINT, 130, ["dn: interrupted"]), (signal.SIGTERM, 0, [])]
)
def test_a_signal_to_it_alone_ends_all_of_it(
    ui: "subprocess.Popen[str]", tmp_path: Path, number: int, code: int, last: list[str]
) -> None:
    assert ui.stdout is not None
    said = [ui.stdout.readline(), ui.stdout.readline()]
    assert [line.split(" http")[0] for line in said] == ["sweeps:", "MLflow UI:"]
    assert len(marked(MARK, str(tmp_path))) > 1
    ui.send_signal(number)
    assert ui.stdout.read().splitlines() == last
    assert ui.wait() == code
    assert marked(MARK, str(tmp_path)) == []


def test_it_says_so_where_its_server_ends(ui: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert ui.stdout is not None
    ui.stdout.readline()
    for left in marked(MARK, str(tmp_path)):
        if left != ui.pid:
            os.kill(left, signal.SIGKILL)
    *_, last = ui.stdout.read().splitlines()
    assert last.startswith("dn: the MLflow server has ended with exit code -9: ")
    assert ui.wait() == 2
    assert marked(MARK, str(tmp_path)) == []
