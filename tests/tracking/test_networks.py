"""The network of a replicate comes out of the store as it was recorded, or one line says why it does not."""

from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

import tracking
from dn_distributed import own_code, registry
from dn_distributed.data.digits import Digits
from dn_distributed.errors import DataError
from dn_distributed.tasks import TASKS
from dn_distributed.tasks.lenet300 import LeNet300
from tests.tracking.fabricated import Recorder, make_cell
from tracking import schema
from tracking.errors import StoreError
from tracking.results import networks
from tracking.results.networks import find_network
from tracking.store.masks import Mask, load_masks
from tracking.store.queries import StoredRun
from tracking.store.sweep_store import SweepStore

CELL = make_cell("lenet300", l1=1.0)


def test_the_network_is_the_recorded_one_pruned_with_its_masks(recorder: Recorder) -> None:
    (outcome,) = recorder.finish(CELL, 0)
    (row,) = recorder.read().rows
    network = tracking.load_network(row, recorder.location)
    assert not network.training
    for name, value in network.state_dict().items():
        mask = outcome.masks.get(name.removesuffix(".weight"))
        trained = outcome.parameters[name]
        assert torch.equal(value, trained if mask is None else trained * mask)
    assert network(torch.rand(2, 784)).shape == (2, 10)


@pytest.mark.parametrize("part", [32, 12])
def test_a_replicate_is_found_by_its_run_and_by_its_key(recorder: Recorder, part: int) -> None:
    cell = make_cell("lenet300", l1=float(part))
    recorder.finish(cell, 0, 1)
    first, _ = recorder.read().rows
    for identifier in (first.run_id[:part], first.replicate_key[:part]):
        found = find_network(recorder.location, identifier)
        assert (found.run_id, found.key, found.seed) == (first.run_id, first.replicate_key, 0)
        assert (found.label, found.name, found.cell) == ("M", recorder.name, cell)


def test_what_several_replicates_begin_with_is_refused(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.finish(make_cell("lenet300", l1=2.0), 0, 1)
    genuine = networks._replicates
    alike = {row.replicate_key: f"feed{row.replicate_key}" for row in recorder.read().rows}

    def replicates(sweep: SweepStore) -> list[StoredRun]:
        found = genuine(sweep)
        for record in found:
            key = record.tags[schema.REPLICATE_KEY]
            record.tags[schema.REPLICATE_KEY] = alike.get(key, key)
        return found

    monkeypatch.setattr(networks, "_replicates", replicates)
    with pytest.raises(StoreError, match=r"2 replicates begin with feed: feed.* seed \d.*, feed.* seed \d") as caught:
        find_network(recorder.location, "feed")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("identifier", ["", "abc", "wxyz", "run-0", "A" * 32, "0" * 33, "../x"])
def test_what_is_no_identifier_is_refused(recorder: Recorder, identifier: str) -> None:
    with pytest.raises(StoreError, match="is neither a run's id nor a replicate's key"):
        find_network(recorder.location, identifier)


def test_an_unknown_run_is_refused(recorder: Recorder) -> None:
    with pytest.raises(StoreError, match="has no replicate whose run id or key begins with 0123456789abcdef"):
        find_network(recorder.location, "0123456789abcdef")


def test_runs_of_other_kinds_are_named(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    recorder.announce({"M": [CELL]})
    for kind in ("cell", "report"):
        (run,) = recorder.runs(kind)
        with pytest.raises(StoreError, match=f"is a {kind} run, which has no network"):
            find_network(recorder.location, run.info.run_id)


def test_a_replicate_without_a_result_is_refused(recorder: Recorder) -> None:
    begun, failed = recorder.start(make_cell("lenet300", l1=3.0), 0, 1)
    failed.fail("bad numbers")
    with pytest.raises(StoreError, match=r"M seed 1: is failed \(bad numbers\), so that it has no weights"):
        find_network(recorder.location, failed.run_id)
    with pytest.raises(StoreError, match="M seed 0: is incomplete, so that it has no weights"):
        find_network(recorder.location, begun.run_id)


def test_a_classical_method_has_no_network(recorder: Recorder) -> None:
    cell = make_cell().model_copy(update={"baseline": "lasso"})
    recorder.finish(cell, 0, label="LASSO")
    (row,) = recorder.read().rows
    with pytest.raises(StoreError, match="LASSO seed 0: is the classical method 'lasso', which has no network"):
        find_network(recorder.location, row.run_id)


def test_a_damaged_file_is_refused(recorder: Recorder) -> None:
    recorder.finish(make_cell("lenet300", l1=4.0), 0)
    (row,) = recorder.read().rows
    path = recorder.artifact(row.run_id, schema.WEIGHTS_FILE)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StoreError, match=r"M seed 0: weights.safetensors is damaged"):
        tracking.load_network(row, recorder.location)
    path.unlink()
    with pytest.raises(StoreError, match=r"M seed 0: weights.safetensors is missing"):
        tracking.load_network(row, recorder.location)


def test_a_task_that_is_not_registered_is_named(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.finish(make_cell("lenet300", l1=5.0), 0)
    (row,) = recorder.read().rows
    monkeypatch.delitem(TASKS, "lenet300")
    with pytest.raises(DataError, match=r"the task 'lenet300' is not known here \(--import MODULE"):
        tracking.load_network(row, recorder.location)


def test_modules_with_what_is_ones_own_are_imported_first(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorder.finish(make_cell("lenet300", l1=9.0), 0)
    (row,) = recorder.read().rows
    (tmp_path / "module_of_a_notebook.py").write_text(
        "import dn_distributed as dn\nfrom dn_distributed.tasks.lenet300 import LeNet300\ndn.register_task(LeNet300)\n"
    )
    monkeypatch.delitem(TASKS, "lenet300")
    monkeypatch.setattr(registry, "OWN_MODULES", {*registry.OWN_MODULES})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="'lenet300' is not known here"):
        tracking.load_network(row, recorder.location)
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        tracking.load_network(row, recorder.location, imports=["nowhere_at_all"])
    found = tracking.load_network(row, recorder.location, imports="module_of_a_notebook")
    assert found(torch.rand(2, 784)).shape == (2, 10)


def test_code_that_has_changed_since_is_refused(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    class MyLeNet300(LeNet300):
        """Code that this project does not ship."""

    monkeypatch.setitem(TASKS, "lenet300", MyLeNet300)
    now = own_code.digests(MyLeNet300(), Digits(name="digits"), ())
    for number, code in enumerate((now, {own_code.TASK: "0" * 32})):
        cell = make_cell("lenet300", l1=7.0 + number)
        recorder.finish(cell.model_copy(update={"code": code}), number)
    same, changed = sorted(recorder.read().rows, key=lambda row: row.seed)  # else by keys, which the code is part of
    assert tracking.load_network(same, recorder.location)(torch.rand(2, 784)).shape == (2, 10)
    with pytest.raises(StoreError, match="the code of the task 'lenet300' is not as it was when this was trained"):
        tracking.load_network(changed, recorder.location)


def test_weights_of_another_network_are_refused(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.finish(make_cell("lenet300", l1=6.0), 0)
    (row,) = recorder.read().rows
    monkeypatch.setitem(TASKS, "lenet300", TASKS["autoencoder"])
    with pytest.raises((StoreError, ValueError)):
        tracking.load_network(row, recorder.location)


def test_a_mask_of_another_shape_is_refused_where_it_has_as_many_entries(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.finish(make_cell("lenet300", l1=5.0), 0)
    (row,) = recorder.read().rows

    def turned(path: Path) -> dict[str, Mask]:
        return {name: mask.reshape(mask.shape[::-1]) for name, mask in load_masks(path).items()}

    monkeypatch.setattr(networks, "load_masks", turned)
    with pytest.raises(
        StoreError, match=r"the mask of layer 'fc1' has the shape \[784, 300\], its weight \[300, 784\]"
    ):
        tracking.load_network(row, recorder.location)


def test_a_row_of_a_file_has_no_weights(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    (row,) = recorder.read().rows
    nowhere = tracking.results.rows.Row("", row.cell_key, row.replicate_key, 0, row.metrics, row.counts)
    with pytest.raises(StoreError, match="take it from load_results"):
        tracking.load_network(nowhere, recorder.location)


def test_test_data_are_those_that_it_was_trained_on(recorder: Recorder, tmp_path: Path) -> None:
    cell = make_cell()
    recorder.finish(cell, 3)
    (row,) = recorder.read().rows
    found = find_network(recorder.location, row.run_id)
    with pytest.raises(DataError, match="are not those that the replicate was trained on"):
        found.test_split(tmp_path)
    split = networks.load_test_split(networks.task_of(cell), networks.dataset_of(cell), 3, tmp_path)
    assert split.inputs.ndim == 2
    assert len(split.inputs) == len(split.targets)


def test_masks_are_stored_beside_unpruned_weights(recorder: Recorder) -> None:
    (outcome,) = recorder.finish(make_cell("lenet300", l1=7.0), 0)
    (row,) = recorder.read().rows
    stored = load_file(recorder.artifact(row.run_id, schema.WEIGHTS_FILE))
    assert all((stored[name] == value.numpy()).all() for name, value in outcome.parameters.items())
