"""One undisturbed sweep for all tests that disturb another."""

import pytest
from real_sweeps import Folder, make_folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = make_folder(tmp_path_factory.mktemp("undisturbed"))
    result = folder.run()
    assert result.returncode == 0, result.stderr
    return folder
