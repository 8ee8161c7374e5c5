"""The short form of ``make faults``: what only several hosts can have, one of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import faults
from tests.cluster.faults import Fault, Outcome, Site
from tests.cluster.marks import ON_HOSTS

pytestmark = ON_HOSTS


@pytest.fixture(scope="module")
def site(open_folder: Path) -> Iterator[Site]:
    with faults.site(open_folder, epochs=120) as found:
        yield found


@pytest.fixture(scope="module")
def whole(site: Site) -> Outcome:
    result, outcome = faults.injure(site, None, None)
    assert result.commands == 1
    assert len(outcome.rows) == 6
    return outcome


@pytest.mark.parametrize(
    "fault", [faults.kill_raylet, faults.kill_server, faults.kill_worker], ids=lambda fault: fault.__name__
)
def test_a_fault_changes_nothing(site: Site, whole: Outcome, fault: Fault) -> None:
    result, _ = faults.injure(site, fault, whole)
    assert result.harmless, result
