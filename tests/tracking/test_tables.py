import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from dn_distributed.config import Cell, Drop
from dn_distributed.coverage import Coverage
from dn_distributed.scores import ACCURACY, MSE, NMSE, Score
from tests.tracking.fabricated import make_cell, make_manifest, make_row
from tracking.manifest import Manifest, Selection
from tracking.results.cells import gather, stat
from tracking.results.inference import Interval
from tracking.results.rows import Ended, Row, Snapshot
from tracking.tables import number_text, published
from tracking.tables import table as tables
from tracking.tables.columns import SCORE_AFTER, Column, columns_for
from tracking.tables.table import Table

L1, DN = make_cell(l1=1.0), make_cell(dn_incoming=1.0)


def build(
    methods: Mapping[str, Sequence[Cell]], rows: Sequence[Row] = (), ended: Sequence[Ended] = (), **options: Any
) -> Table:
    manifest = make_manifest(methods, **options)
    return tables.build(manifest, gather(manifest, Snapshot(tuple(rows), tuple(ended))))


def test_a_row_has_means_over_its_seeds() -> None:
    rows = [make_row(L1, seed, test__nmse__after_pruning=value) for seed, value in enumerate([0.2, 0.4])]
    row = build({"A": [L1]}, rows).rows[0]
    assert (row.n, row.num_expected) == (2, 2)
    assert row.stats["score_after"].mean == pytest.approx(0.3)
    assert row.stats["score_after"].n == 2


def test_what_is_counted_is_said_beside_what_is_left_of_the_whole_network() -> None:
    part = Coverage(layers=("fc1", "fc2"), parameters=111, all_parameters=1105)
    manifest = make_manifest({"A": [L1], "B": [DN]}).model_copy(update={"coverage": part})
    rows = [make_row(L1, seed) for seed in (0, 1)]
    notes = tables.build(manifest, gather(manifest, Snapshot(tuple(rows), ()))).notes
    assert "Penalised, pruned and counted are weights of fc1, fc2: 10.0 % of all 1,105 parameters." in notes
    left = 1105 - sum(105 - row.counts.num_nonzero for row in rows) / 2
    assert f"Left of all 1,105 parameters, mean over seeds: A {left:,.0f} ({left / 11.05:.1f} %)." in notes
    assert not [note for note in build({"A": [L1]}, rows).notes if "parameters" in note]


def test_a_sweep_remembers_what_is_counted_only_where_it_is_a_part() -> None:
    whole = make_manifest({"A": [L1]})
    assert "coverage" not in whole.model_dump_json()
    assert Manifest.model_validate_json(whole.model_dump_json()) == whole
    part = whole.model_copy(update={"coverage": Coverage(layers=("fc1",), parameters=1, all_parameters=2)})
    assert Manifest.model_validate_json(part.model_dump_json()) == part
    impossible = Coverage(layers=("fc1",), parameters=2, all_parameters=2)
    with pytest.raises(ValueError, match="all of its parameters"):
        whole.model_copy(update={"coverage": impossible}).check()


def test_the_columns_are_those_of_the_paper_and_the_alive_count() -> None:
    table = build({"A": [L1]}, [make_row(L1, 0)])
    assert [column.heading for column in table.columns] == [
        "test nmse before P",
        "test nmse after P",
        "sparsity fc1 (%)",
        "sparsity fc2 (%)",
        "total sparsity (%)",
        "compression rate",
        "neurons input (of 20)",
        "neurons fc1 (of 5)",
        "neurons fc2 (of 1)",
        "neurons (of 26)",
        "neurons alive (of 26)",
        "hidden alive (of 5)",
        "dense size (of 105)",
        "dense compression",
    ]


def test_a_method_without_a_replicate_stays_in_the_table() -> None:
    table = build({"A": [L1], "B": [DN]}, [make_row(L1, seed) for seed in (0, 1)])
    assert [(row.label, row.n) for row in table.rows] == [("A", 2), ("B", 0)]
    assert table.rows[1].stats == {}
    assert "B: 2 of 2 replicates are missing." in table.notes


def test_a_sweep_without_a_replicate_is_a_table_without_columns() -> None:
    table = build({"A": [L1]})
    assert table.columns == ()
    assert [row.label for row in table.rows] == ["A"]


def test_a_quantity_that_a_replicate_lacks_is_missing() -> None:
    rows = [make_row(L1, seed) for seed in (0, 1)]
    del rows[1].metrics["test/nmse/after_pruning"]
    stats = build({"A": [L1]}, rows).rows[0].stats
    assert "score_after" not in stats
    assert "score_before" in stats


def test_a_network_with_nothing_left_has_no_compression_rate() -> None:
    stats = build({"A": [L1]}, [make_row(L1, seed, density=0.0) for seed in (0, 1)]).rows[0].stats
    assert "compression_rate" not in stats
    assert "dense_compression" not in stats
    assert stats["density"].mean == stats["dense_size"].mean == 0


def test_what_has_no_compression_rate_is_told() -> None:
    dead = make_row(L1, 2)
    units = tuple(replace(unit, alive=0) for unit in dead.counts.units)
    dead = replace(dead, counts=replace(dead.counts, units=units))
    rows = [make_row(L1, 0), make_row(L1, 1, density=0.0), dead]
    notes = build({"A": [L1]}, rows, seeds=range(3)).notes
    assert "A: 1 of 3 replicates have no weight left; compression rates are not defined for them." in notes
    assert "A: 1 of 3 replicates have no neuron alive; a dense compression is not defined for them." in notes


def test_where_units_could_not_drop_as_far_as_they_were_to_is_said() -> None:
    for measure in ("weights", "units", "multiply_adds"):
        drop = Drop(to=0.05, of=measure)
        cell = L1.model_copy(update={"training": L1.phases[0].model_copy(update={"drop": drop})})
        notes = build({"A": [cell]}, [make_row(cell, 0), make_row(cell, 1, density=0.0)]).notes
        note = f"A: 1 of 2 replicates have more than 5 % of the {measure} left: the last unit of a layer stays."
        assert (note in notes) == (measure != "multiply_adds")


def test_the_difference_is_reproduced_minus_published() -> None:
    rows = [make_row(L1, seed, test__nmse__after_pruning=0.5) for seed in (0, 1)]
    row = build({"A": [L1]}, rows, published={"A": "ℓ1+DN+P"}).rows[0]
    assert row.published == published.as_printed("regression", "ℓ1+DN+P")
    assert row.difference("score_after") == Fraction("0.499642")


def test_no_difference_where_one_side_is_missing() -> None:
    row = build({"A": [L1]}, [make_row(L1, 0)], published={"A": "ℓ1+DN+P"}).rows[0]
    assert row.difference("neurons_alive") is None  # not published
    assert row.difference("score_before") is None  # not published for this task
    assert build({"A": [L1]}, published={"A": "ℓ1+DN+P"}).rows[0].difference("density") is None


def test_a_row_set_beside_another_label_says_so() -> None:
    notes = build({"A": [L1]}, published={"A": "ℓ1+DN+P"}).notes
    assert "A is set beside the row published as ℓ1+DN+P." in notes
    assert any(published.SOURCE in note for note in notes)


def test_deviations_are_told_where_published_figures_stand() -> None:
    told = "Settings differ from the paper's: 20 epochs (paper: 100 epochs)."
    options: dict[str, Any] = {"deviations": ["20 epochs (paper: 100 epochs)"]}
    assert told in build({"A": [L1]}, published={"A": "ℓ1+DN+P"}, **options).notes
    assert told not in build({"A": [L1]}, **options).notes


def test_failures_and_stopped_configurations_are_told() -> None:
    ended = [
        Ended(L1.key, L1.replicate_key(1), 1, "failed", "parameters are no longer finite numbers"),
        Ended(DN.key, DN.replicate_key(0), 0, "stopped", "epoch 3"),
    ]
    notes = build({"A": [L1], "B": [DN]}, [make_row(L1, 0)], ended).notes
    assert "A seed 1 failed: parameters are no longer finite numbers." in notes
    assert "A: 1 of 2 replicates are missing." in notes
    assert "B: 1 of 1 configurations were stopped early." in notes


def failed(cell: Cell, seed: int, reason: str) -> Ended:
    return Ended(cell.key, cell.replicate_key(seed), seed, "failed", reason)


def notes_of_failures(ended: Sequence[Ended], cells: Sequence[Cell] = (L1,)) -> list[str]:
    notes = build({"A": cells}, (), ended, seeds=range(100)).notes
    return [note for note in notes if "failed" in note]


def test_failures_for_one_reason_are_one_note() -> None:
    assert notes_of_failures([failed(L1, seed, "no memory") for seed in (7, 1, 4)]) == [
        "A seeds 1, 4, 7 failed: no memory."
    ]
    assert notes_of_failures([failed(L1, seed, "no memory.") for seed in range(100)]) == [
        "A seeds 0, 1, 2, 3, 4 and 95 more failed: no memory."
    ]


def test_failures_of_the_same_seed_in_several_configurations_are_counted() -> None:
    ended = [failed(cell, seed, "no memory") for cell in (L1, DN) for seed in (0, 1)]
    assert notes_of_failures(ended, (L1, DN)) == ["A seeds 0, 1 (4 replicates) failed: no memory."]


def test_of_many_reasons_only_a_few_are_printed() -> None:
    notes = notes_of_failures([failed(L1, seed, f"reason {seed}") for seed in range(100)])
    assert notes[4:] == ["A seed 4 failed: reason 4.", "A: 95 more replicates failed, for 95 other reasons."]


def test_a_search_tells_its_rule_and_what_it_chose() -> None:
    other = make_cell(l1=2.0)
    rows = [make_row(L1, seed, validation__loss__after_pruning=1.0) for seed in (0, 1)]
    rows += [make_row(other, seed, validation__loss__after_pruning=2.0) for seed in (0, 1)]
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    table = build({"A": [other, L1]}, rows, selection=selection)
    assert "Chosen by: lowest mean validation/loss/after_pruning. Configurations tried: A 2." in table.notes
    assert "A: chosen of 2: l1 1." in table.notes


@pytest.mark.parametrize(("best", "remark"), [(1.0, " (smallest tried)"), (2.0, ""), (3.0, " (largest tried)")])
def test_a_choice_at_the_edge_of_what_was_tried_is_told(best: float, remark: str) -> None:
    tried = [make_cell(l1=value) for value in (1.0, 2.0, 3.0)]
    rows = [
        make_row(cell, seed, validation__loss__after_pruning=abs(cell.regularization["l1"] - best))
        for cell in tried
        for seed in (0, 1)
    ]
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    notes = build({"A": tried}, rows, selection=selection).notes
    assert f"A: chosen of 3: l1 {best:g}{remark}." in notes


def test_of_a_search_that_is_partly_run_only_what_has_ended_was_tried() -> None:
    """Of five configurations the middle ones are finished, the third failed in part, and the ends have not begun."""
    tried = [make_cell(l1=10.0**power) for power in range(-6, -1)]
    rows = [
        make_row(cell, seed, validation__loss__after_pruning=loss)
        for cell, loss in zip(tried[1:3], (0.2, 0.3), strict=True)
        for seed in (0, 1)
    ]
    ended = [failed(tried[3], seed, "no memory") for seed in (0, 1)]
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    manifest = make_manifest({"A": tried}, selection=selection)
    table = tables.build(manifest, gather(manifest, Snapshot(tuple(rows), tuple(ended))))
    assert "Configurations tried: A 3 of 5." in next(note for note in table.notes if note.startswith("Chosen by"))
    assert "A: chosen of 3: l1 1e-05 (smallest tried)." in table.notes
    assert "A: 2 of 5 configurations are not finished; 4 of 10 replicates are still to run." in table.notes
    assert table.rows[0].what_is_there == "3 of 5 configurations"


def test_what_a_search_has_still_to_propose_is_missing() -> None:
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    manifest = make_manifest({"A": [L1]}, selection=selection)
    asked = manifest.methods[0].model_copy(update={"to_propose": 3})
    manifest = manifest.model_copy(update={"methods": (asked,)})
    rows = [make_row(L1, seed, validation__loss__after_pruning=1.0) for seed in (0, 1)]
    notes = tables.build(manifest, gather(manifest, Snapshot(tuple(rows), ()))).notes
    assert "A: 3 of 4 configurations are not finished; 6 of 8 replicates are still to run." in notes


def test_a_search_of_the_training_tells_what_it_chose() -> None:
    other = L1.model_copy(update={"training": L1.phases[0].model_copy(update={"learning_rate_decay": 0.5})})
    rows = [make_row(L1, seed, validation__loss__after_pruning=1.0) for seed in (0, 1)]
    rows += [make_row(other, seed, validation__loss__after_pruning=0.5) for seed in (0, 1)]
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    notes = build({"A": [L1, other]}, rows, selection=selection).notes
    assert "A: chosen of 2: l1 1, training.learning_rate_decay 0.5." in notes


def test_a_search_of_a_phase_tells_what_it_chose() -> None:
    first, drop = L1.phases[0], Drop(to=0.5)
    cells = [
        L1.model_copy(update={"training": (first, first.model_copy(update={"drop": Drop(to=share)}))})
        for share in (drop.to, 0.25)
    ]
    rows = [
        make_row(cell, seed, validation__loss__after_pruning=loss)
        for cell, loss in zip(cells, (1.0, 0.5), strict=True)
        for seed in (0, 1)
    ]
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    notes = build({"A": cells}, rows, selection=selection).notes
    assert "A: chosen of 2: l1 1, training.1.drop.to 0.25." in notes


def interval_of(*scores: float, nonnegative: tuple[str, ...] = ()) -> tuple[Column, Interval]:
    """The column of a score of one's own, and its interval over seeds."""
    rows = [make_row(L1, seed, test__r2__after_pruning=value) for seed, value in enumerate(scores)]
    manifest = make_manifest({"A": [L1]}, range(len(scores))).model_copy(
        update={"score": "r2", "score_higher_is_better": True, "nonnegative_scores": nonnegative}
    )
    built = tables.build(manifest, gather(manifest, Snapshot(tuple(rows), ())))
    column = next(column for column in built.columns if column.key == SCORE_AFTER)
    found = column.mean_interval(built.rows[0].stats[SCORE_AFTER].values)
    assert found is not None
    return column, found


def test_the_interval_of_a_score_that_may_be_negative_is_not_cut_at_0() -> None:
    """Student's t of the values: 2.7764 · s / √5 on both sides, and 4.3027 · 0.1 / √3 of three."""
    column, found = interval_of(-0.0101, 0.0105, 0.001, 0.002, -0.0005)
    half = 2.7764 * statistics.stdev([-0.0101, 0.0105, 0.001, 0.002, -0.0005]) / math.sqrt(5)
    assert (found.low, found.high) == pytest.approx((0.00058 - half, 0.00058 + half), abs=1e-6)
    column, found = interval_of(-0.5, -0.3, -0.4)
    assert (found.low, found.high) == pytest.approx((-0.4 - 0.24842, -0.4 + 0.24842), abs=1e-5)
    assert number_text.mean_interval(column, stat([-0.5, -0.3, -0.4])) == "-0.6484 to -0.1516 (of the mean)"


def test_the_interval_of_a_score_that_says_it_cannot_be_negative_ends_at_0() -> None:
    _, found = interval_of(0.0, 0.0, 0.3, nonnegative=("r2",))
    assert found.low == 0
    assert interval_of(0.0, 0.0, 0.3)[1].low < 0


@pytest.mark.parametrize("score", [ACCURACY, MSE, NMSE])
def test_scores_of_this_project_cannot_be_negative(score: Score) -> None:
    column = columns_for([score.name], make_row(L1, 0))[0]
    found = column.mean_interval([0.0, 0.0, 0.3])
    assert found is not None
    assert found.low == 0


def test_what_is_missing_of_a_method_without_a_search_is_counted_beside_one_that_is_searched() -> None:
    searched = [make_cell(l1=2.0), make_cell(l1=3.0)]
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    table = build({"A": [L1], "B": searched}, [make_row(L1, 0)], selection=selection)
    assert [(row.n, bool(row.stats)) for row in table.rows] == [(1, True), (0, False)]
    assert {"A: 1 of 2 replicates are missing.", "B: no complete configuration."} < set(table.notes)


def test_a_search_without_a_complete_configuration_says_so() -> None:
    selection = Selection(objective="validation/loss/after_pruning", higher_is_better=False)
    table = build({"A": [L1, make_cell(l1=2.0)]}, [make_row(L1, 0)], selection=selection)
    assert table.rows[0].stats == {}
    assert "A: no complete configuration." in table.notes


def test_outputs_that_are_constant_and_the_dense_size_with_them_are_told() -> None:
    row = make_row(L1, 0)
    *others, outputs = row.counts.units
    half = replace(row.counts, units=(*others, replace(outputs, alive=outputs.total // 2)))
    (note,) = (note for note in build({"A": [L1]}, [replace(row, counts=half)], seeds=[0]).notes if "constant" in note)
    assert note.startswith(f"A: {outputs.total - outputs.total // 2} of {outputs.total} outputs are constant")
    assert note.endswith(f"leaves them out; with them it is {half.dense_size_with_outputs}.")
    assert half.dense_size_with_outputs > half.dense_size
