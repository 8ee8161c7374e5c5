"""Another's package or file of our packages' names is told, in one line, before anything of it is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dn_distributed import installation


def test_our_own_packages_are_not_foreign() -> None:
    assert installation.foreign_package() is None


def dn(
    folder: Path, module: str, name: str, text: str = "raise SystemExit('the wrong one was imported')"
) -> "subprocess.CompletedProcess[str]":
    """Run ``dn status x`` with ``name`` in a folder that comes before the installation."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return subprocess.run(
        [sys.executable, "-P", "-m", module, "status", "x"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(installation.__file__).parents[1])])},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["tracking.py", "sweeps/__init__.py"])
def test_a_foreign_package_is_one_line_and_exit_code_2(name: str, tmp_path: Path) -> None:
    done = dn(tmp_path, "dn_distributed", name)
    assert (done.returncode, done.stdout) == (2, "")
    package = name.partition("/")[0].removesuffix(".py")
    assert done.stderr.startswith(f"dn: Python finds {package} in {tmp_path}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["tracking.py", "tracking/__init__.py"])
def test_a_foreign_package_is_told_whoever_imports_ours(name: str, tmp_path: Path) -> None:
    done = dn(tmp_path, "sweeps.cli", name)
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: Python finds tracking in {tmp_path}")


def test_ctrl_c_is_one_line_while_packages_are_still_read(tmp_path: Path) -> None:
    done = dn(tmp_path, "dn_distributed", "click.py", "raise KeyboardInterrupt")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "dn: interrupted\n")
