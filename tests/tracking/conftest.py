"""One real store for all tests of what is remembered: its schema takes seconds to make. An experiment a test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fabricated import Recorder

from tracking import postgres, store
from tracking.store import StoreError, StoreLocation


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def location(tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    made = store.locate(folder=tmp_path_factory.mktemp("a store"))
    store.prepare(made)
    return made


@pytest.fixture
def recorder(location: StoreLocation, request: pytest.FixtureRequest) -> Recorder:
    """A fresh experiment, named after the test."""
    return Recorder(location, f"{Path(request.node.path).stem}-{request.node.name}")


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can pass through, unlike pytest's; without PostgreSQL the test is skipped."""
    try:
        postgres.binaries()
    except StoreError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="dn-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
