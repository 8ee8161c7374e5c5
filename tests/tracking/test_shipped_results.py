"""The results in ``docs/results`` are what their rows say: tables rebuilt from the rows are the shipped ones."""

from pathlib import Path

import pytest

from tracking import report

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/rows.json"))


def test_results_are_shipped() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_rows_rebuild_the_shipped_tables(folder: Path, tmp_path: Path) -> None:
    report.write_from_rows(folder / report.ROWS, tmp_path)
    rebuilt = {path.name for path in tmp_path.glob("*.*")} - {report.PAGE, "table.html"}
    shipped = {path.name for path in folder.glob("*.*")}
    assert shipped == rebuilt
    for name in shipped:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_shipped_figures_are_small(folder: Path) -> None:
    pictures = list((folder / "figures").glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size < 300_000 for picture in pictures)
