"""The short form of ``make faults``: what only several hosts can have, one of each kind."""

from collections.abc import Iterator

import faults
import pytest
from faults import Fault, Outcome, Site
from hosts import missing

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(missing() is not None, reason=f"hosts on this machine: {missing()}"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("faults")
    for part in (folder, *folder.parents[:3]):
        part.chmod(0o755)  # PostgreSQL's own user passes through
    with faults.site(folder, epochs=30) as found:
        yield found


@pytest.fixture(scope="module")
def whole(site: Site) -> Outcome:
    result, outcome = faults.injure(site, None, None)
    assert result.commands == 1
    assert len(outcome.rows) == 6
    return outcome


@pytest.mark.parametrize(
    "fault", [faults.kill_raylet, faults.kill_server, faults.second_driver], ids=lambda fault: fault.__name__
)
def test_a_fault_changes_nothing(site: Site, whole: Outcome, fault: Fault) -> None:
    result, _ = faults.injure(site, fault, whole)
    assert result.harmless, result
