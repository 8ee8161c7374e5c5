import os
import subprocess
from pathlib import Path

import pytest

from tracking.store import commit

CLEAN = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
    **{f"GIT_{who}_{what}": "someone" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, env=CLEAN, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_checkout(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "file")
    git(folder, "commit", "-q", "-m", text)
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "ours", "ours")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "other", "other")


def test_it_is_that_of_the_checkout_and_says_where_files_were_changed(ours: Path) -> None:
    head = git(ours, "rev-parse", "HEAD")
    assert commit.of(ours) == head
    (ours / "untracked").write_text("")
    assert commit.of(ours) == head
    (ours / "file").write_text("changed")
    assert commit.of(ours) == f"{head}-dirty"


def test_gits_variables_do_not_change_it(ours: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git(ours, "rev-parse", "HEAD")
    variables = {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / ".git" / "index"),
        "GIT_COMMON_DIR": str(other / ".git"),
        "GIT_OBJECT_DIRECTORY": str(other / ".git" / "objects"),
        "GIT_NAMESPACE": "other",
        "GIT_CEILING_DIRECTORIES": str(ours.parent),
        "GIT_CONFIG": str(other / ".git" / "config"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.worktree",
        "GIT_CONFIG_VALUE_0": str(other),
        "GIT_TRACE": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert commit.of(ours) == head


def test_a_linked_working_tree_has_its_own(ours: Path, tmp_path: Path) -> None:
    git(ours, "worktree", "add", "-q", "-b", "branch", str(tmp_path / "linked"))
    (tmp_path / "linked" / "file").write_text("of the branch")
    git(tmp_path / "linked", "commit", "-q", "-a", "-m", "of the branch")
    assert commit.of(tmp_path / "linked") == git(tmp_path / "linked", "rev-parse", "HEAD") != commit.of(ours)


def test_a_folder_inside_of_another_checkout_has_none(other: Path) -> None:
    (other / "installed").mkdir()
    assert commit.of(other / "installed") == ""
    (other / "installed" / ".git").mkdir()  # and what is no checkout either
    assert commit.of(other / "installed") == ""


@pytest.mark.parametrize("script", [None, "echo hint: update git", "echo not a commit; exit 1", "printf '\\377'"])
def test_without_git_or_with_one_that_says_something_else_there_is_none(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    (tmp_path / "programs").mkdir()
    if script is not None:
        (tmp_path / "programs" / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "programs" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    assert commit.of(ours) == ""


def test_a_checkout_of_another_user_has_one_too(ours: Path) -> None:
    """Git refuses to look for one there, but this one is named."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    head = git(ours, "rev-parse", "HEAD")
    for path in (ours, *ours.rglob("*")):
        os.chown(path, 65534, 65534)
    assert commit.of(ours) == head
