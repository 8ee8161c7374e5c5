"""What earlier versions wrote gives the same tables.

``data/exported-earlier.zip`` is ``dn export`` of commit 852fc7c, of the regression with P, ℓ1+P and OMP, two seeds and
two epochs; ``data/table-earlier.csv`` is the table that the same commit printed of it.
"""

import csv
import io
from pathlib import Path

import pytest

from tests.tracking.fabricated import Recorder
from tracking import schema
from tracking.portable.exporting import export
from tracking.portable.importing import import_file
from tracking.results import cells
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
    _, manifest = runs.read_manifest(location, recorder.experiment_id)
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
