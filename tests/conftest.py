"""What all tests share: a store, whose schema takes seconds to make and a copy of it none, and a pretended device."""

import os
import signal
from typing import Any

import pytest

from tests import distribution, pretended_device
from tracking.store import embedded
from tracking.store import location as store
from tracking.store.location import StoreLocation


def pytest_configure() -> None:
    """Answer Ctrl-C, and let what is started do so: in the background of a script nobody does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("RAY_worker_niceness", "0")  # at 15, as Ray has it, they wait for what else is tested


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> distribution.Scheduling | None:
    """Have tests that share what is slow to make run in one process."""
    return distribution.Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: distribution.order(item.nodeid))


@pytest.fixture(scope="session", autouse=True)
def _device() -> None:
    pretended_device.register()


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    made = store.locate(folder=tmp_path_factory.mktemp("empty"))
    embedded.prepare(made)
    return made
