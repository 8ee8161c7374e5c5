"""What ``dn`` prints arrives as it is: whatever it holds, whatever the encoding, and whoever has stopped reading."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from sweeps.console import Output, notify
from sweeps.tune.progress import Progress

LABEL = "P [ours] [/DN] [bold]x[/] :smile: ℓ1"


SCRIPT = r"""
from pathlib import Path
from sweeps.console import Output, prepare_streams, notify
prepare_streams()
out = Output()
for number in range(300):
    out.say("été ℓ1 \udcff")
    notify("été ℓ1 \udcff")
Path("done").touch()
"""


def test_no_text_is_markup() -> None:
    shown = io.StringIO()
    out = Output(file=shown, width=200)
    table = Table(title=LABEL)
    table.add_column(LABEL)
    table.add_row(LABEL)
    out.print(table)
    out.say(f"{LABEL}\n  \x1b[31mred")
    assert shown.getvalue().count(LABEL) == 4
    assert shown.getvalue().endswith("\n  \\x1b[31mred\n")


def test_progress_shows_labels_as_they_are() -> None:
    shown = io.StringIO()
    progress = Progress(Output(file=shown, width=200))
    progress.pack_started("t", LABEL, 3)
    Output(file=shown, width=200).print(progress._draw())
    assert f"{LABEL} × 3" in shown.getvalue()


def test_what_is_told_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    notify("[bold]a\n\x1b[31mb" + "x" * 400_000)
    told = capsys.readouterr().err
    assert told.startswith("dn: [bold]a \\x1b[31mbxxx")
    assert len(told) < 2100


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_encoding_without_a_character_replaces_it(encoding: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "été ℓ1 \\udcff".encode(encoding, "replace")
    assert done.stderr.splitlines()[0].startswith(b"dn: ")


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "| true", "2>&1 | true"])
def test_who_does_not_read_disturbs_nothing(closed: str, tmp_path: Path) -> None:
    """300 lines are more than a pipe holds back for a reader that has gone."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    line = f"'{sys.executable}' script.py {closed}; echo ${{PIPESTATUS[0]}} >code"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, timeout=120)
    assert (tmp_path / "code").read_text() == "0\n", done.stderr
    assert (tmp_path / "done").exists()
    assert b"Error" not in done.stderr


@pytest.mark.parametrize("words", ["--help", "sweep --help"])
def test_help_that_nobody_reads_to_its_end_is_no_error(words: str, tmp_path: Path) -> None:
    line = f"'{sys.executable}' -m sweeps.cli {words} | true; echo ${{PIPESTATUS[0]}} >code"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, timeout=120)
    assert ((tmp_path / "code").read_text(), done.stderr) == ("0\n", b"")


@pytest.mark.slow
def test_a_sweep_whose_reader_has_gone_is_stored_and_reported(tmp_path: Path) -> None:
    """With a label that would be markup, and an encoding that lacks its letters."""
    text = f"name: x\ntask: regression\ntraining: {{epochs: 1}}\nmethods:\n  - label: '{LABEL}'\n"
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    command = f"'{sys.executable}' -m sweeps.cli sweep s.yaml --num-cpus 1 --report out"
    line = f"{command} | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=290)
    plan, code = done.stdout.decode("ascii").splitlines()
    assert plan.startswith("x: regression"), done.stderr
    assert code == "0", done.stderr
    with (tmp_path / "out" / "x" / "table.csv").open(encoding="utf-8", newline="") as table:
        assert {row["method"] for row in csv.DictReader(table)} == {LABEL}
