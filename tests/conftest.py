"""A store for all tests: its schema takes seconds to make, a copy of it none."""

import pytest

from tracking.store import embedded
from tracking.store import location as store
from tracking.store.location import StoreLocation


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    made = store.locate(folder=tmp_path_factory.mktemp("empty"))
    embedded.prepare(made)
    return made
