"""A folder for hosts."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that PostgreSQL's own user can pass through."""
    folder = tmp_path_factory.mktemp("hosts")
    for part in (folder, *folder.parents[:3]):
        part.chmod(part.stat().st_mode | 0o055)  # added to what there is: the last may be everybody's /tmp
    return folder
