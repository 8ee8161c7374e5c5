"""Real stores for all tests of what is remembered: a schema takes seconds to make. An experiment a test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.one_thread import one_thread as one_thread
from tests.tracking.archives import fill
from tests.tracking.fabricated import Recorder
from tests.tracking.served import serve_store
from tests.tracking.stores import copy_of
from tracking.errors import StoreError
from tracking.portable.exporting import export
from tracking.server import postgres_programs
from tracking.store.location import StoreLocation


@pytest.fixture(scope="session")
def location(empty: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    return copy_of(empty, tmp_path_factory.mktemp("a store"))


@pytest.fixture(scope="session")
def elsewhere(empty: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    """A second store."""
    return copy_of(empty, tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def served(location: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreLocation]:
    """The store, from the server that ``dn ui`` runs."""
    with serve_store(location, tmp_path_factory.mktemp("server") / "log") as at:
        yield at


@pytest.fixture
def recorder(location: StoreLocation, request: pytest.FixtureRequest) -> Recorder:
    """A fresh experiment, named after the test."""
    return Recorder(location, f"{Path(request.node.path).stem}-{request.node.name}")


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can pass through, unlike pytest's; without PostgreSQL the test is skipped."""
    try:
        postgres_programs.binaries()
    except StoreError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="dn-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def exported(location: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorder, Path]:
    """A sweep, and the file it was exported to."""
    recorder = Recorder(location, "portable")
    fill(recorder)
    path = tmp_path_factory.mktemp("exported") / "portable.zip"
    export(location, "portable", path)
    return recorder, path
