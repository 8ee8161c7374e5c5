"""One undisturbed sweep for all tests that disturb another, and a Ray for those that run sweeps in this process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_sweeps import Folder, make_folder

from sweeps.cluster import connection
from sweeps.cluster.connection import Capacity


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = make_folder(tmp_path_factory.mktemp("undisturbed"))
    result = folder.run()
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def capacity() -> Iterator[Capacity]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # workers import hostile_tasks
        with connection.connect(None, num_cpus=2) as found:
            yield found
