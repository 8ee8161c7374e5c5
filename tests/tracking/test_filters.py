"""Convolutions that are regularised are stored, carried to other stores, tabled and pictured like other layers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from dn_distributed import sparsity
from dn_distributed.config import Cell, Training
from tests.tracking.archives import carry, content
from tests.tracking.fabricated import Recorder, make_cell, make_outcome
from tracking import report, schema
from tracking.figures import patterns
from tracking.figures.values import Trained
from tracking.results import rows, rows_file
from tracking.store import outcomes
from tracking.store.location import StoreLocation
from tracking.store.masks import load_masks, save_masks, save_pattern

FILTERS = ("conv1", "conv2", "fc1", "fc2")
UNITS = [("input", 1), ("conv1", 32), ("conv2", 64), ("fc1", 512), ("fc2", 10)]


def cell_with_filters(l1: float = 0.0) -> Cell:
    plain = make_cell("lenet5", l1=l1)
    return plain.model_copy(update={"task": {**plain.task, "filters": True}})


@pytest.fixture(scope="module")
def written(location: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorder, Path]:
    """The report of two methods whose networks are random; the second is sparse."""
    recorder = Recorder(location, "filters")
    first, second = cell_with_filters(), cell_with_filters(l1=1.0)
    recorder.finish(first, 0, 1, label="P", epochs=2)
    recorder.finish(second, 0, 1, label="ℓ1+P", density=2e-4, epochs=2)
    recorder.announce({"P": [first], "ℓ1+P": [second]})
    out = tmp_path_factory.mktemp("filters")
    report.write(location, recorder.name, out, Path("unused"))
    return recorder, out


def test_counts_of_filters_come_back_from_the_store(written: tuple[Recorder, Path]) -> None:
    recorder, _ = written
    for row in recorder.read().rows:
        density = 0.5 if row.cell_key == cell_with_filters().key else 2e-4
        assert row.counts == make_outcome(cell_with_filters(), row.seed, density=density).counts
        assert [(unit.name, unit.total) for unit in row.counts.units] == UNITS
        assert row.counts.layers[2].inputs_alive == row.metrics["layers/fc1/inputs_alive"]


def test_masks_and_weights_of_filters_are_stored(written: tuple[Recorder, Path]) -> None:
    recorder, _ = written
    row = recorder.read().rows[0]
    masks = load_masks(recorder.artifact(row.run_id, schema.MASKS_FILE))
    assert {name: mask.shape for name, mask in masks.items()} == {
        "conv1": (32, 1, 5, 5),
        "conv2": (64, 32, 5, 5),
        "fc1": (512, 3136),
        "fc2": (10, 512),
    }
    with Image.open(recorder.artifact(row.run_id, f"{schema.PATTERN_FOLDER}/conv2.png")) as image:
        assert image.size == (64, 32 * 25)


def test_a_sweep_with_filters_is_the_same_elsewhere(
    written: tuple[Recorder, Path], elsewhere: StoreLocation, tmp_path: Path
) -> None:
    recorder, _ = written
    assert content(carry(recorder, elsewhere, tmp_path)) == content(recorder)


def test_rows_of_filters_are_the_same_from_their_file(written: tuple[Recorder, Path]) -> None:
    recorder, out = written
    found = {row.replicate_key: row.counts for row in rows_file.load(out / "rows.json").snapshot.rows}
    assert found == {row.replicate_key: row.counts for row in recorder.read().rows}


def test_the_table_has_columns_of_filters_and_says_what_they_count(written: tuple[Recorder, Path]) -> None:
    table = (written[1] / "table.md").read_text(encoding="utf-8")
    for column in ("sparsity conv2 (%)", "neurons conv2 (of 64)", "dense size (of 1662752)"):
        assert column in table
    assert "its neurons are filters" in table
    assert "no convolution is among them" not in table


def test_filters_are_pictured(written: tuple[Recorder, Path]) -> None:
    assert {path.stem for path in written[1].rglob("*.png")} >= {"patterns", "neurons", "network", "training"}


def test_a_pattern_is_named_by_method_layer_and_kernel(written: tuple[Recorder, Path]) -> None:
    recorder, _ = written
    masks = load_masks(recorder.artifact(recorder.read().rows[0].run_id, schema.MASKS_FILE))
    figure = patterns.patterns([Trained("P", 0, cell_with_filters(), masks, {})])
    assert figure is not None
    assert [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes] == [
        *(f"{name} (5×5): {100 * masks[name].mean():.3g} %" for name in ("conv1", "conv2")),
        *(f"{name}: {100 * masks[name].mean():.3g} %" for name in ("fc1", "fc2")),
    ]
    assert figure.axes[0].get_ylabel() == "P"


def test_layers_that_are_no_chain_are_stored_counted_apart(recorder: Recorder, elsewhere: StoreLocation,
                                                           tmp_path: Path) -> None:  # fmt: skip
    cell = make_cell("lenet5")
    outcome = make_outcome(cell, 0)
    draw = torch.Generator().manual_seed(0)
    shapes = {"conv1": (32, 1, 5, 5), "fc2": (10, 512)}
    masks = {name: torch.rand(shape, generator=draw) < 0.01 for name, shape in shapes.items()}
    apart = replace(outcome, masks=masks, counts=sparsity.count(masks, chain=False))
    (run,) = recorder.start(cell, 0)
    run.finish(apart, "cpu")
    recorder.announce({"M": [cell]}, seeds=(0,))
    (row,) = recorder.read().rows
    assert row.counts == apart.counts
    assert not row.counts.is_chain
    assert content(carry(recorder, elsewhere, tmp_path)) == content(recorder)
    report.write(recorder.location, recorder.name, tmp_path, Path("unused"))
    assert {path.stem for path in tmp_path.rglob("*.png")} == {"neurons", "patterns", "tradeoff", "weights"}
    assert "are no chain: as published" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_a_pattern_of_kernels_stands_channel_below_channel(tmp_path: Path) -> None:
    mask = torch.zeros(3, 2, 2, 2, dtype=torch.bool)
    mask[2, 1, 0, 1] = True
    save_pattern(mask, tmp_path / "p.png")
    save_masks({"conv": mask}, tmp_path / "m.safetensors")
    assert torch.equal(torch.from_numpy(load_masks(tmp_path / "m.safetensors")["conv"]), mask)
    with Image.open(tmp_path / "p.png") as image:
        assert image.size == (3, 8)
        assert [place for place in range(24) if image.tobytes()[place]] == [5 * 3 + 2]


def test_counts_of_filters_are_put_together_again_from_figures() -> None:
    outcome = make_outcome(cell_with_filters(), 0, density=0.001)
    layers = sparsity.layers_as_json(outcome.counts)
    assert rows.counts_from_metrics(layers, outcomes.final_metrics(outcome)) == outcome.counts


def test_the_option_is_part_of_a_cell_only_where_it_is_on() -> None:
    assert "filters" not in make_cell("lenet5").task
    assert cell_with_filters().key != make_cell("lenet5").key
    assert Cell.model_validate(cell_with_filters().model_dump()).training == Training(steps=30, batch_size=1)
