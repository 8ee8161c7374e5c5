import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from dn_distributed.config import Pruning
from sweeps.cli import main as cli
from tests.tracking.archives import CELL, OTHER, by_key, carry, content, fill, points, put, rename, repack, with_curve
from tests.tracking.fabricated import Recorder, make_cell, make_epoch, make_manifest
from tracking import schema
from tracking.errors import StoreError
from tracking.manifest import Manifest
from tracking.portable.exporting import export
from tracking.portable.importing import import_file, united
from tracking.results import cells, means
from tracking.results import rows as reader
from tracking.store import artifacts, lease, report_run, runs, sqlite_writer, sweep_store
from tracking.store.connection import connect
from tracking.store.location import StoreLocation
from tracking.store.run_writer import ClientWriter
from tracking.tables import formats
from tracking.tables import table as tables


def table(recorder: Recorder) -> str:
    _, manifest = runs.read_manifest(recorder.sweep)
    return formats.as_csv(tables.build(manifest, cells.gather(manifest, recorder.read())))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.01)


def test_nothing_is_added_to_a_sweep_that_is_being_run(
    exported: tuple[Recorder, Path], elsewhere: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    recorder, file = exported
    there = Recorder(elsewhere, recorder.name)
    run_id = report_run.ensure_report_run(there.sweep)
    with (
        lease.Lease(there.sweep, run_id, recorder.name, print),
        pytest.raises(StoreError, match="is being run by"),
    ):
        import_file(elsewhere, file)
    assert there.runs("replicate") == there.runs("cell") == []


def test_another_store_holds_the_same_sweep(exported: tuple[Recorder, Path], elsewhere: StoreLocation) -> None:
    here, path = exported
    done = import_file(elsewhere, path)
    there = Recorder(elsewhere, "portable")
    assert (done.written, done.present) == (Counter(finished=3, failed=1, stopped=1), 0)
    assert content(there) == content(here)
    assert table(there) == table(here)
    manifests = [runs.read_manifest(item.sweep)[1] for item in (here, there)]
    assert manifests[0] == manifests[1]
    known = [reader.read_cells(item.sweep) for item in (here, there)]
    assert known[0] == known[1]


def test_runs_curves_and_times_are_the_same(exported: tuple[Recorder, Path], elsewhere: StoreLocation) -> None:
    here, path = exported
    import_file(elsewhere, path)
    there = Recorder(elsewhere, "portable")
    before, after = (by_key(item, "replicate", schema.REPLICATE_KEY) for item in (here, there))
    parents = by_key(there, "cell", schema.CELL_KEY)
    for key, run in after.items():
        original = before[key]
        assert points(there, run.info.run_id) == points(here, original.info.run_id)
        assert run.data.params == original.data.params
        assert run.info.run_name == original.info.run_name
        assert (run.info.start_time, run.info.end_time) == (original.info.start_time, original.info.end_time)
        assert {**original.data.tags, schema.PARENT: ""} == {**run.data.tags, schema.PARENT: ""}
        assert run.data.tags[schema.PARENT] == parents[run.data.tags[schema.CELL_KEY]].info.run_id
        inputs = [[item.dataset.digest for item in which.inputs.dataset_inputs] for which in (run, original)]
        assert inputs[0] == inputs[1]
    assert set(before) - set(after) == {make_cell().replicate_key(1)}  # the incomplete one


def test_cells_have_their_means(exported: tuple[Recorder, Path], elsewhere: StoreLocation) -> None:
    here, path = exported
    import_file(elsewhere, path)
    there = Recorder(elsewhere, "portable")
    before, after = (by_key(item, "cell", schema.CELL_KEY) for item in (here, there))
    assert list(before) == list(after)
    for key, run in after.items():
        assert points(there, run.info.run_id) == points(here, before[key].info.run_id)


def test_files_are_the_same_to_the_last_bit(exported: tuple[Recorder, Path], elsewhere: StoreLocation) -> None:
    here, path = exported
    import_file(elsewhere, path)
    there = Recorder(elsewhere, "portable")
    for row, original in zip(there.read().rows, here.read().rows, strict=True):
        for name in ("weights.safetensors", "masks.safetensors", "sparsity/fc1.png", "sparsity/fc2.png"):
            assert there.artifact(row.run_id, name).read_bytes() == here.artifact(original.run_id, name).read_bytes()
        files = [item for item in there.artifact(row.run_id, "").rglob("*") if item.is_file()]
        assert len(files) == 4


def test_what_was_imported_exports_to_the_same_bytes(
    exported: tuple[Recorder, Path], elsewhere: StoreLocation, tmp_path: Path
) -> None:
    _, path = exported
    import_file(elsewhere, path)
    export(elsewhere, "portable", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_curves_over_thresholds_come_along(recorder: Recorder, elsewhere: StoreLocation, tmp_path: Path) -> None:
    cell = CELL.model_copy(update={"pruning": Pruning(threshold=0.01, curve=(0.1, 0.2))})
    with_curve(recorder, cell, [0.1, 0.2])
    there = carry(recorder, elsewhere, tmp_path)
    (row,) = there.read().rows
    curve = json.loads(there.artifact(row.run_id, schema.CURVE_FILE).read_text())
    assert [point["threshold"] for point in curve] == [0.1, 0.2]


def test_twice_imported_is_once_there(exported: tuple[Recorder, Path], elsewhere: StoreLocation) -> None:
    _, path = exported
    import_file(elsewhere, path)
    there = Recorder(elsewhere, "portable")
    kinds: list[schema.Kind] = ["cell", "replicate", "report"]
    before = {run.info.run_id: run.data.metrics.keys() for kind in kinds for run in there.runs(kind)}
    done = import_file(elsewhere, path)
    assert (done.written.total(), done.present) == (0, 5)
    assert {run.info.run_id: run.data.metrics.keys() for kind in kinds for run in there.runs(kind)} == before


def test_what_is_there_stays_and_what_is_not_whole_is_completed(
    recorder: Recorder, elsewhere: StoreLocation, tmp_path: Path
) -> None:
    fill(recorder)
    there = Recorder(elsewhere, recorder.name)
    there.finish(CELL, 0, label="mine", test__nmse__after_pruning=0.125)
    (half,) = there.start(CELL, 1, label="mine")
    half.log_epoch(make_epoch(1, validation__nmse=9.0), 0)
    half.flush()
    there.start(OTHER, 0)[0].fail("no memory here")
    there.start(OTHER, 1)[0].stop("here")
    carry(recorder, elsewhere, tmp_path)
    rows = {row.replicate_key: row for row in there.read().rows}
    assert rows[CELL.replicate_key(0)].metrics["test/nmse/after_pruning"] == 0.125
    assert reader.read_histories(there.location, [rows[CELL.replicate_key(1)].run_id])[0]["validation/nmse"][1] == 1.0
    assert OTHER.replicate_key(0) in rows
    assert {item.reason for item in there.read().ended} == {"here", "epoch 1"}
    assert len(by_key(there, "replicate", schema.REPLICATE_KEY)) == 5
    assert by_key(there, "cell", schema.LABEL)["mine"].data.metrics["n"] == 2


@pytest.mark.parametrize(
    ("owner", "call", "number"),
    [
        (artifacts, "add_text", 1),
        (MlflowClient, "create_run", 3),
        (artifacts, "add_folder", 2),
        (MlflowClient, "log_batch", 5),
        (MlflowClient, "log_batch", 9),
        (MlflowClient, "set_terminated", 2),
        (sqlite_writer, "_insert_tags", 3),
        (sqlite_writer, "_insert_metrics", 2),
        (sqlite_writer, "_insert_data", 1),
    ],
)
def test_an_interrupted_import_is_completed_by_the_next(
    exported: tuple[Recorder, Path],
    elsewhere: StoreLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    call: str,
    number: int,
) -> None:
    if owner is MlflowClient:
        monkeypatch.setattr(sweep_store, "writer_of", lambda location: ClientWriter(connect(location)))
    here, path = exported
    renamed = f"interrupted-{call}-{number}"
    path = repack(path, tmp_path / "x.zip", rename(renamed))
    genuine, calls = getattr(owner, call), Counter[str]()

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls[call] += 1
        if calls[call] == number:
            raise KeyboardInterrupt
        return genuine(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            import_file(elsewhere, path)
    import_file(elsewhere, path)
    there = Recorder(elsewhere, renamed)
    assert content(there) == content(here)
    for kind, tag in (("replicate", schema.REPLICATE_KEY), ("cell", schema.CELL_KEY)):
        before, after = (by_key(item, kind, tag) for item in (here, there))  # type: ignore[arg-type]
        for key, run in after.items():
            assert points(there, run.info.run_id) == points(here, before[key].info.run_id)


def test_the_wider_of_two_manifests_stays() -> None:
    part, whole = make_manifest({"M": [CELL]}, (0,)), make_manifest({"M": [CELL, OTHER], "P": [make_cell()]}, (0, 1))
    assert united(whole, part) is whole
    assert united(part, whole) is whole


def test_seeds_of_equal_methods_are_united() -> None:
    held, added = (make_manifest({"M": [CELL]}, seeds) for seeds in ((4, 2), (1, 2)))
    assert united(held, added) == make_manifest({"M": [CELL]}, (1, 2, 4))
    assert united(held, held) is held


@pytest.mark.parametrize(
    "added",
    [
        make_manifest({"M": [OTHER]}),
        make_manifest({"N": [CELL]}),
        make_manifest({"M": [CELL, OTHER]}, (7,)),
        make_manifest({"M": [CELL]}).model_copy(update={"score": "mse"}),
        make_manifest({"M": [CELL]}, published={"M": "P"}),
    ],
)
def test_another_sweep_of_the_same_name_is_refused(added: Manifest) -> None:
    with pytest.raises(StoreError, match="another sweep of the name 'sweep'"):
        united(make_manifest({"M": [CELL]}), added)


def test_seeds_of_two_stores_come_together(recorder: Recorder, elsewhere: StoreLocation, tmp_path: Path) -> None:
    recorder.finish(CELL, 0, 1, epochs=1)
    recorder.announce({"M": [CELL]}, seeds=(0, 1))
    there = Recorder(elsewhere, recorder.name)
    there.finish(CELL, 2, epochs=1)
    there.announce({"M": [CELL]}, seeds=(2,))
    means.summarize_rest(there.sweep, [(CELL, "M")], (2,))
    carry(recorder, elsewhere, tmp_path)
    assert runs.read_manifest(there.sweep)[1].seeds == (0, 1, 2)
    assert [row.seed for row in there.read().rows] == [0, 1, 2]
    (run,) = there.runs("cell")
    assert run.data.metrics["n"] == 3


def test_a_store_with_another_sweep_of_that_name_is_left_alone(
    recorder: Recorder, elsewhere: StoreLocation, tmp_path: Path
) -> None:
    fill(recorder)
    there = Recorder(elsewhere, recorder.name)
    held = there.announce({"M": [OTHER]})
    with pytest.raises(StoreError, match="another sweep"):
        carry(recorder, elsewhere, tmp_path)
    assert there.runs("replicate") == there.runs("cell") == []
    assert runs.read_manifest(there.sweep)[1] == held


def test_a_store_stays_as_it_is_when_a_file_is_refused(
    exported: tuple[Recorder, Path], elsewhere: StoreLocation, tmp_path: Path
) -> None:
    path = repack(exported[1], tmp_path / "renamed.zip", rename("untouched"))
    path = repack(path, tmp_path / "x.zip", put(schema.MASKS_FILE, b""))
    with pytest.raises(StoreError):
        import_file(elsewhere, path)
    assert connect(elsewhere).get_experiment_by_name("untouched") is None


def test_from_the_command_line_both_stores_give_the_same_report(
    recorder: Recorder,
    elsewhere: StoreLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(recorder)
    monkeypatch.chdir(tmp_path)
    here, there = (["--tracking-uri", place.uri] for place in (recorder.location, elsewhere))
    assert cli.main(["export", recorder.name, "x.zip", *here]) == 0
    assert cli.main(["export", recorder.name, "x.zip", *here]) == 2
    assert cli.main(["import", "x.zip", *there]) == 0
    assert cli.main(["import", "x.zip", *there]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "x.zip: 5 replicates, 1 of them failed, 1 stopped early; 1 without a result are left out",
        f"{recorder.name}: 5 replicates imported, 1 of them failed, 1 stopped early; 0 were there already",
        f"{recorder.name}: 0 replicates imported, 0 of them failed; 5 were there already",
    ]
    assert said.err == "dn: x.zip: is there already; give another name, or --force to replace it\n"
    assert cli.main(["report", recorder.name, "--out", "here", *here]) == 0
    assert cli.main(["report", recorder.name, "--out", "there", *there]) == 0
    written = [path.relative_to("there") for path in Path("there").rglob("*") if path.is_file()]
    assert written
    for path in written:
        here_and_there = [(folder / path).read_bytes() for folder in (Path("here"), Path("there"))]
        if path.name == "report.html":  # it names the runs, which are others in another store
            here_and_there = [re.sub(rb"\b[0-9a-f]{32}\b", b"RUN", page) for page in here_and_there]
        assert here_and_there[0] == here_and_there[1], path


def test_a_wrong_file_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.zip").write_text("no zip")
    assert cli.main(["import", "x.zip"]) == 2
    assert capsys.readouterr().err == "dn: x.zip: File is not a zip file\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]
