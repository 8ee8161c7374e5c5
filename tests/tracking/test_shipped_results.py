"""The results in ``docs/results`` are what their rows say: tables rebuilt from the rows are the shipped ones."""

from collections import Counter
from pathlib import Path

import pytest

from tracking import report
from tracking.results import cells, rows_file
from tracking.tables import table
from tracking.tables.verdicts import Count

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/rows.json"))


def test_results_are_shipped() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_rows_rebuild_the_shipped_tables(folder: Path, tmp_path: Path) -> None:
    report.write_from_rows(folder / report.ROWS, tmp_path)
    rebuilt = {path.name for path in tmp_path.glob("*.*")} - {report.PAGE, "table.html"}
    rows_file = {path.name for path in folder.glob("*.*")}
    assert rows_file == rebuilt
    for name in rows_file:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    drawn = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert {"tradeoff.png", "neurons.png"} <= drawn <= {path.name for path in (folder / "figures").iterdir()}
    assert ("pareto.png" in drawn) == (folder / report.CURVES).exists()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_shipped_figures_are_small(folder: Path) -> None:
    pictures = list((folder / "figures").glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size < 300_000 for picture in pictures)


def counted(name: str) -> Count:
    whole = rows_file.load(RESULTS / name / report.ROWS)
    return table.build(whole.manifest, cells.gather(whole.manifest, whole.snapshot)).count_verdicts()


def test_the_published_figures_are_counted() -> None:
    """The one without a verdict is a compression rate that a network with nothing left does not have."""
    names = ("regression", "regression-scripted-dropout", "autoencoder", "lenet300", "lenet5", "convnet")
    papers = [counted(f"paper-{name}") for name in names]
    every = sum((found.all for found in papers), Counter())
    assert every == {"inside": 115, "equal": 19, "outside": 11, "none": 1}
    assert every.total() == 146
    their_own = sum((found.of_their_own for found in papers), Counter())
    assert their_own == {"inside": 84, "equal": 18, "outside": 5}
    assert their_own.total() == 107


@pytest.mark.parametrize("name", ["lenet5-causes", "lenet5-longer", "lenet5-printed-longer", "lenet5-thresholds"])
def test_of_three_seeds_there_is_no_verdict(name: str) -> None:
    assert set(counted(name).all) == {"none"}
