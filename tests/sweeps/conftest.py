"""One undisturbed sweep for all tests that disturb another, and a Ray for those that run sweeps in this process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.cluster import connection
from sweeps.cluster.connection import Capacity
from tests.sweeps.real_sweeps import Folder, make_folder
from tests.tracking.stores import copy_of
from tracking.store.location import StoreLocation


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = make_folder(tmp_path_factory.mktemp("undisturbed"))
    result = folder.run()
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def capacity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capacity]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)  # workers import tests
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))  # what workers import is on their path, not beside the driver
        with connection.connect(None, num_cpus=2) as found:
            yield found


@pytest.fixture(scope="module")
def location(empty: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    return copy_of(empty, tmp_path_factory.mktemp("a store"))
