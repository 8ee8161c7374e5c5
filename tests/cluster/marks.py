"""What every test on hosts is marked with."""

import pytest

from tests.cluster.hosts import missing

_LACKING = missing()
ON_HOSTS = [
    pytest.mark.cluster,
    pytest.mark.skipif(_LACKING is not None, reason=f"hosts on this machine: {_LACKING}"),
    pytest.mark.timeout(900),
]
