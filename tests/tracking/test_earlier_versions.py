"""What earlier versions wrote gives the same tables.

``data/before-rebuilding`` is a store, an export and the tables of both, all of one commit: the same bytes come out now.
``data/exported-earlier.zip`` is ``dn export`` of commit 852fc7c, of the regression with P, ℓ1+P and OMP, two seeds and
two epochs; ``data/table-earlier.csv`` is the table that the same commit printed of it.
"""

import contextlib
import csv
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import pytest

from tests.tracking.fabricated import Recorder
from tracking import figures as figures_of_reports
from tracking import load_results, load_rows, report, schema
from tracking.portable.exporting import export
from tracking.portable.importing import import_file
from tracking.results import cells
from tracking.store import location as locations
from tracking.store import runs
from tracking.store.location import StoreLocation
from tracking.tables import formats
from tracking.tables import table as tables

DATA = Path(__file__).parent / "data"


Figures = dict[tuple[str, str], list[float]]


def figures(text: str) -> Figures:
    """By method and quantity: mean, deviation and numbers; NaN for none."""
    names = ("mean", "std", "n", "n_expected")
    lines = csv.DictReader(io.StringIO(text))
    return {(line["method"], line["quantity"]): [float(line[name] or "nan") for name in names] for line in lines}


def table(location: StoreLocation, name: str) -> Figures:
    recorder = Recorder(location, name)
    _, manifest = runs.read_manifest(recorder.sweep)
    return figures(formats.as_csv(tables.build(manifest, cells.gather(manifest, recorder.read()))))


def test_an_earlier_export_gives_the_table_that_was_printed_then(location: StoreLocation, tmp_path: Path) -> None:
    done = import_file(location, DATA / "exported-earlier.zip")
    assert (done.name, done.written.total(), done.present) == ("old-demo", 6, 0)
    now, then = table(location, "old-demo"), figures((DATA / "table-earlier.csv").read_text("utf-8"))
    common = now.keys() & then.keys()
    for name in common:
        assert now[name] == pytest.approx(then[name], rel=1e-12, nan_ok=True), name
    assert len(common) >= 3 * 15
    export(location, "old-demo", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (DATA / "exported-earlier.zip").read_bytes()


def test_a_store_without_checksums_is_exported_as_it_was(
    location: StoreLocation, elsewhere: StoreLocation, tmp_path: Path
) -> None:
    import_file(elsewhere, DATA / "exported-earlier.zip")
    recorder = Recorder(elsewhere, "old-demo")
    for run in recorder.runs("replicate"):
        recorder.store.delete_tag(run.info.run_id, schema.SHA256)
    assert {row.sha256 for row in recorder.read().rows} == {""}
    export(elsewhere, "old-demo", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (DATA / "exported-earlier.zip").read_bytes()


BEFORE = DATA / "before-rebuilding"
SWEEPS = ("earlier-regression", "earlier-digits")


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> StoreLocation:
    """The store of ``data/before-rebuilding``, at another place than it was written to."""
    folder = tmp_path_factory.mktemp("before")
    with zipfile.ZipFile(BEFORE / "store.zip") as file:
        file.extractall(folder)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript((folder / "mlflow.sql").read_text("utf-8"))
    return locations.locate(folder=folder)


def check_report(location: StoreLocation, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables and values of a report are those that were written before, byte for byte."""
    monkeypatch.setattr(figures_of_reports, "draw", lambda *_: [])
    report.write(location, name, folder, folder)
    for path in sorted((BEFORE / name).iterdir()):
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("name", SWEEPS)
def test_a_store_of_before_gives_the_same_tables_byte_for_byte(
    restored: StoreLocation, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_report(restored, name, tmp_path, monkeypatch)


def test_an_export_of_before_gives_the_same_tables_and_the_same_export_byte_for_byte(
    elsewhere: StoreLocation, restored: StoreLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = import_file(elsewhere, BEFORE / "exported.zip")
    assert (done.name, done.written.total()) == ("earlier-regression", 20)
    check_report(elsewhere, "earlier-regression", tmp_path / "report", monkeypatch)
    for number, location in enumerate((elsewhere, restored)):
        export(location, "earlier-regression", tmp_path / f"{number}.zip")
        assert (tmp_path / f"{number}.zip").read_bytes() == (BEFORE / "exported.zip").read_bytes()


@pytest.mark.parametrize("name", SWEEPS)
def test_rows_of_before_give_the_same_tables(name: str) -> None:
    results = load_rows(BEFORE / name / "rows.json")
    assert results.to_markdown() == (BEFORE / name / "table.md").read_text("utf-8")
    assert results.to_csv() == (BEFORE / name / "table.csv").read_text("utf-8")
    assert results.to_latex() == (BEFORE / name / "table.tex").read_text("utf-8")


def test_the_store_of_before_has_all_that_there_may_be(restored: StoreLocation) -> None:
    states = [cell.state for cell in load_results("earlier-regression", restored).to_frame().itertuples()]
    assert (states.count("finished"), states.count("failed"), states.count("missing")) == (17, 3, 1)
    for name in SWEEPS:
        assert json.loads((BEFORE / name / "curves.json").read_text("utf-8"))
        assert any(len(method.tried) > 1 for method in load_results(name, restored).methods)
