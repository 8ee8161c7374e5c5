"""One undisturbed sweep for all tests that disturb another, and a Ray for those that run sweeps in this process."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps import ray_settings
from sweeps.cluster import connection
from sweeps.cluster.connection import Capacity
from tests.distribution import shares_ray
from tests.sweeps.real_sweeps import Folder, make_folder
from tests.tracking.stores import copy_of
from tracking.store.location import StoreLocation

ray_settings.apply()  # Ray reads some when a test's module imports it


@pytest.fixture(scope="session")
def undisturbed(empty: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = make_folder(tmp_path_factory.mktemp("undisturbed"), empty, num_cpus=2)  # two workers, one store
    result = folder.run()
    assert result.returncode == 0, result.stderr
    return folder


class SharedRay:
    """One Ray for all tests that run sweeps in this process: from the first of them to one that starts its own.

    It has one CPU: each worker imports torch, MLflow and Tune, which takes longer than the sweeps of tests.
    """

    def __init__(self, folder: Path) -> None:
        """``folder``: the working folder of who joins. What workers import is on their path, not beside the driver."""
        self.folder = folder
        self._capacity: Capacity | None = None
        self._stack = contextlib.ExitStack()

    def join(self) -> Capacity:
        """Start it, if it is not running."""
        if self._capacity is None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)  # workers import tests
                patch.chdir(self.folder)
                self._capacity = self._stack.enter_context(connection.connect(None, num_cpus=1))
        return self._capacity

    def stop(self) -> None:
        """Let another be started: a process is on one Ray at a time."""
        self._stack.close()
        self._capacity = None


@pytest.fixture(scope="session")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedRay]:
    ray = SharedRay(tmp_path_factory.mktemp("elsewhere"))
    yield ray
    ray.stop()


@pytest.fixture
def capacity(shared_ray: SharedRay, monkeypatch: pytest.MonkeyPatch) -> Capacity:
    monkeypatch.chdir(shared_ray.folder)
    return shared_ray.join()


@pytest.fixture(scope="module", autouse=True)
def _no_ray_that_others_share(request: pytest.FixtureRequest, shared_ray: SharedRay) -> None:
    if not shares_ray(request.node.nodeid):
        shared_ray.stop()


@pytest.fixture(scope="module")
def location(empty: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    return copy_of(empty, tmp_path_factory.mktemp("a store"))
