"""Nodes are asked once each, before a sweep and while it runs; who cannot use the store is named."""

import socket
import time
from pathlib import Path

import pytest

from sweeps.cluster import preflight
from sweeps.cluster.connection import Capacity
from sweeps.cluster.preflight import Preflight
from sweeps.errors import ClusterError
from tracking.store import report_run
from tracking.store.connection import connect
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore


@pytest.fixture
def run_id(location: StoreLocation) -> str:
    return report_run.ensure_report_run(SweepStore.find_or_create(location, "a-sweep"))


@pytest.fixture
def nowhere() -> StoreLocation:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return StoreLocation(f"http://127.0.0.1:{probe.getsockname()[1]}")


def test_a_node_that_can_use_the_store_has_left_its_proof(
    capacity: Capacity, location: StoreLocation, run_id: str
) -> None:
    said: list[str] = []
    Preflight(location, run_id, said.append).check()
    metrics = connect(location).get_run(run_id).data.metrics
    assert [name for name in metrics if name.startswith("preflight/")]
    assert said == []


def test_a_node_that_cannot_is_named_before_the_sweep(capacity: Capacity, nowhere: StoreLocation) -> None:
    with pytest.raises(ClusterError, match=rf"cannot be used from {socket.gethostname()} \(.*\): no MLflow server"):
        Preflight(nowhere, "0" * 32, print).check()


def test_a_node_that_joins_later_and_cannot_is_named_once(
    capacity: Capacity, nowhere: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_PAUSE", 0.0)
    said: list[str] = []
    checks = Preflight(nowhere, "0" * 32, said.append)
    for _ in range(600):  # never asked before: as good as one that has just joined
        checks.check_new_nodes()
        if said:
            break
        time.sleep(0.1)
    checks.check_new_nodes()
    (line,) = said
    assert line.startswith(f"a node has joined that cannot use the store {nowhere.uri}: {socket.gethostname()} (")


def test_nodes_that_were_asked_before_are_not_asked_again(
    capacity: Capacity, location: StoreLocation, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_PAUSE", 0.0)
    checks = Preflight(location, run_id, print)
    checks.check()
    checks.check_new_nodes()
    assert checks._waiting == {}
