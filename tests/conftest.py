"""What all tests share: a store, whose schema takes seconds to make and a copy of it none, and a pretended device."""

import pytest

from tests import pretended_device
from tracking.store import embedded
from tracking.store import location as store
from tracking.store.location import StoreLocation


@pytest.fixture(scope="session", autouse=True)
def _device() -> None:
    pretended_device.register()


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    made = store.locate(folder=tmp_path_factory.mktemp("empty"))
    embedded.prepare(made)
    return made
