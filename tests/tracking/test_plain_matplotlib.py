"""What is drawn is the same whatever matplotlib is told elsewhere."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import sys
from tracking.figures import style
def draw():
    figure, (axes,) = style.panels(1, 1, 3.0)
    axes.plot([1, 2, 3], [3, 1, 2], label="a")
    axes.set_title("$title")
    axes.legend()
    return figure
sys.stdout.buffer.write(style.as_png(style.styled(draw)()))
"""
MATPLOTLIBRC = """
backend: module://none.such
lines.linewidth: 9
figure.dpi: 30
savefig.dpi: 30
axes.grid: True
axes.prop_cycle: cycler('color', ['red'])
text.usetex: True
font.family: cursive
axes.titleweight: bold
path.sketch: 5, 100, 2
"""


def drawn(folder: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MPL")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", DRAW], cwd=folder, env={**environment, **variables}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return hashlib.sha256(done.stdout).hexdigest()


@pytest.mark.slow
def test_neither_a_notebooks_backend_nor_a_users_file_changes_a_figure(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "matplotlibrc").write_text(MATPLOTLIBRC)
    plain = drawn(tmp_path / "plain")
    assert drawn(tmp_path / "file", MPLBACKEND="module://matplotlib_inline.backend_inline") == plain
    assert drawn(tmp_path / "plain", MATPLOTLIBRC=str(tmp_path / "file"), MPLCONFIGDIR="/dev/null/none") == plain


def test_the_settings_of_the_process_are_left_as_they_are() -> None:
    import matplotlib as mpl

    from tracking.figures.plain_matplotlib import settings

    with mpl.rc_context({"lines.linewidth": 9.0}):
        with settings({"font.size": 7.0}):
            assert (mpl.rcParams["lines.linewidth"], mpl.rcParams["font.size"]) == (1.5, 7.0)
        assert mpl.rcParams["lines.linewidth"] == 9.0
