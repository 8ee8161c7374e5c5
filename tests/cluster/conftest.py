"""A folder for hosts."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that PostgreSQL's own user can pass through."""
    folder = tmp_path_factory.mktemp("hosts")
    for part in (folder, *folder.parents[:3]):
        part.chmod(0o755)
    return folder
