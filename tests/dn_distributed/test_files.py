import os
import socket
from pathlib import Path

import pytest

from dn_distributed.files import check_folder, check_replaceable, open_regular


@pytest.fixture(params=["pipe", "socket", "device", "folder"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is no file, under a link."""
    path, link = tmp_path / "s", tmp_path / "link"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        path = Path(os.devnull)
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    link.symlink_to(path)
    return link


def test_what_is_no_file_is_neither_read_nor_replaced(special: Path) -> None:
    with pytest.raises(OSError, match=r"not a file|not a regular file|No such device or address"):
        open_regular(special)  # and a pipe that nobody writes to is not waited for
    with pytest.raises(OSError, match=r"not a file|not a regular file"):
        check_replaceable(special)


def test_a_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"content"
    check_replaceable(tmp_path / "link")


def test_a_file_that_is_not_there_yet_may_be_written(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "new")
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "new")


def test_whether_a_folder_can_be_made_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    for wrong in (tmp_path / "file", tmp_path / "file" / "b", tmp_path / "nowhere" / "b"):
        with pytest.raises(NotADirectoryError, match="is not a folder"):
            check_folder(wrong)
