"""What a sweep file says of phases, of places of dropout, and of what pruning keeps."""

import pytest

from dn_distributed.config import Augment, Cell, Distill, Drop, Prune, Pruning, Rewire
from sweeps.errors import SpecError
from sweeps.planning.data import load_data
from sweeps.planning.manifest import _deviations
from sweeps.spec.sweep import Sweep
from tests.sweeps.loading import Load
from tests.sweeps.loading import load as load
from tracking.report.wording import pruning_in_words, training_in_words
from tracking.store.cell_params import describe_cell

BASE = """name: small
task: lenet300
dataset: digits
training:
  - {epochs: 2}
  - {epochs: 3, optimizer: sgd, learning_rate: {grid: [0.1, 0.01]}, drop: {to: {grid: [0.1, 0.05]}}}
methods:
  - {label: P}
"""


EMPTYING = "name: small\ntask: lenet300\ndataset: digits\ntraining: [{epochs: 1}PHASE]\nmethods: [{label: P}]\n"


def cells(sweep: Sweep, index: int = 0) -> list[Cell]:
    method = sweep.methods[index]
    return [sweep.cell(method, values, "digest", 2560) for values in sweep.enumerated(method)]


def test_phases_are_trained_one_after_the_other(load: Load) -> None:
    found = cells(load(BASE))
    assert len({cell.key for cell in found}) == len(found) == 4
    first, second = found[1].phases
    assert (first.steps, first.batch_size, first.optimizer, first.drop) == (20, 256, "adam", None)
    assert (second.steps, second.optimizer, second.learning_rate) == (30, "sgd", 0.1)
    assert second.drop == Drop(to=0.05)
    assert Cell.model_validate_json(found[1].model_dump_json()) == found[1]


def test_spaces_within_phases_are_searched_by_their_path(load: Load) -> None:
    sweep = load(BASE)
    (method,) = sweep.methods
    assert list(method.spaces) == ["training.1.learning_rate", "training.1.drop.to"]
    for values in sweep.enumerated(method):
        cell = sweep.cell(method, values, "digest", 2560)
        assert sweep.assignment_of(method, cell, "digest", 2560) == values
    (other,) = cells(load(BASE.split("training")[0] + "methods:\n  - {label: P}\n"))
    assert sweep.assignment_of(method, other, "digest", 2560) is None


def test_an_override_may_replace_a_phase(load: Load) -> None:
    sweep = load(BASE, "training.0={steps: 9}")
    assert cells(sweep)[0].phases[0].steps == 9


def test_a_list_of_one_phase_is_that_training(load: Load) -> None:
    listed = BASE.split("training")[0] + "training: [{epochs: 2}]\nmethods:\n  - {label: P}\n"
    assert cells(load(listed))[0].key == cells(load(listed.replace("[{epochs: 2}]", "{epochs: 2}")))[0].key
    searched = load(listed.replace("epochs: 2", "steps: {grid: [2, 3]}"))
    for values in searched.enumerated(searched.methods[0]):
        cell = searched.cell(searched.methods[0], values, "digest", 2560)
        assert searched.assignment_of(searched.methods[0], cell, "digest", 2560) == values


def test_optuna_is_asked_for_no_epochs_of_a_phase(load: Load) -> None:
    text = BASE.replace("epochs: 2", "epochs: {choice: [2, 3]}").replace("{grid: [0.1, 0.01]}", "0.1")
    with pytest.raises(SpecError, match="optuna cannot search epochs"):
        load(text.replace("{grid: [0.1, 0.05]}", "{uniform: [0.1, 0.5]}") + "search: {algorithm: optuna}\n")


def test_an_override_reaches_into_a_phase(load: Load) -> None:
    sweep = load(BASE, "training.0.steps=7", "training.1.drop.to=0.2", "training.1.learning_rate=0.5")
    (cell,) = cells(sweep)
    assert (cell.phases[0].steps, cell.phases[1].drop, cell.phases[1].learning_rate) == (7, Drop(to=0.2), 0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("  - {epochs: 2}", r"training\[0\].*give exactly one of 'epochs' and 'steps'"),
        ("training: []", r"training: expected a mapping, or a list of at least one phase"),
        ("  - {epochs: 2, epoch: 3}", r"training\[0\]\.epoch: unknown key"),
        ("  - {epochs: 2, drop: {at: 3}}", r"training\[0\]\.drop\.at: unknown key; valid: score, to"),
        ("  - {epochs: 2, drop: 3}", r"training\[0\]\.drop: expected a mapping with the keys: score, to"),
        ("  - {epochs: 2, drop: {score: norm}}", r"training\[0\].*drop.*this key is required"),
        ("  - {epochs: 2, drop: {to: 1.5}}", r"training\[0\]\.drop\.to: .*less than 1"),
        ("  - {epochs: 2, drop: {to: 0.5}, fixed_structure: true}", r"training\[0\].*give one of them"),
        ("  - {epochs: 2, batch_size: 1e6}", r"training\[0\]\.batch_size"),
        ("  - {epochs: 2, penalties: sometimes}", r"training\[0\]\.penalties: .*'on', 'off', 'linear'"),
    ],
)
def test_what_is_wrong_with_a_phase_is_said_where_it_stands(load: Load, wrong: str, message: str) -> None:
    text = BASE.replace("  - {epochs: 2}\n", wrong + "\n")
    if wrong.startswith("training"):
        text = BASE.split("training")[0] + wrong + "\nmethods:\n  - {label: P}\n"
    if "give exactly" in message:
        text = BASE.replace("  - {epochs: 2}\n", "  - {batch_size: 5}\n")
    with pytest.raises(SpecError, match=message):
        load(text)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            "[{epochs: 1, fixed_structure: true}]",
            r"sweep.yaml:5: training\[0\]\.fixed_structure: nothing is trained yet",
        ),
        ("{epochs: 1, fixed_structure: true}", r"sweep.yaml:5: training\.fixed_structure: nothing is trained yet"),
        ('{epochs: 1, penalties: "off"}', r"training\.penalties: penalties are off, and 'M' has one: l1$"),
        (
            '[{epochs: 1, penalties: "off"}, {epochs: 2, penalties: "off"}]',
            r"training\[1\]\.penalties: penalties are off in every phase, and 'M' has one: l1$",
        ),
        (
            "[{epochs: 1}, {epochs: 1, fixed_structure: true}, {epochs: 1, drop: {to: 0.5}}]",
            r"sweep.yaml:5: training: a phase with 'drop' cannot come after one with 'fixed_structure'",
        ),
        (
            "[{epochs: 1}, {epochs: 1, prune: {keep: 0.5, rewind_to: {grid: [1, 1000]}}}]",
            r"sweep.yaml:5: training: 'rewind_to' is step 1000, and that phase begins before",
        ),
        (
            "{steps: 5, warmup_steps: 1000}",
            r"sweep.yaml:5: training: 'warmup_steps' is 1000, and the phase ends after 5",
        ),
        ("{steps: {grid: [20, 5]}, warmup_steps: {grid: [10, 1]}}", r"sweep.yaml:5: training: 'warmup_steps' is 10"),
        ("{steps: 20, rewire: {density: 0.1, every: {grid: [1, 100]}}}", r"training: 'rewire' moves weights every 100"),
        ("{steps: 5, distill: {}}", r"sweep.yaml:5: training: the first phase cannot have 'distill'"),
    ],
)
def test_phases_that_do_not_go_together_are_refused_where_they_stand(load: Load, training: str, message: str) -> None:
    text = f"name: x\ntask: lenet300\ndataset: digits\nseeds: 1\ntraining: {training}\n"
    with pytest.raises(SpecError, match=message):
        load_data(load(text + "methods:\n  - {label: M, l1: 1e-3, dropout: 0.5}\n"), None)


@pytest.mark.parametrize("key", ["sparse_vd", "l0", "l0_units"])
def test_random_weights_are_penalties_that_may_be_off_in_every_phase(load: Load, key: str) -> None:
    file = (
        BASE.split("training")[0]
        + f'training: {{epochs: 1, penalties: "off"}}\nmethods:\n  - {{label: M, {key}: 1.0e-5}}\n'
    )
    with pytest.raises(SpecError, match=rf"training\.penalties: penalties are off, and 'M' has one: {key}$"):
        load(file)


def test_gates_that_no_layer_has_are_refused_but_those_of_a_shorthand(load: Load) -> None:
    file = BASE.split("training")[0] + "methods:\n  - {label: M, l0_units: 1.0e-5, l0_filters: 1.0e-3}\n"
    with pytest.raises(
        SpecError, match=r"methods\[0\]\.l0_filters: no regularised layer of 'lenet300' has such gates$"
    ):
        load(file)
    assert cells(load(file, "methods.0.l0_filters=0"))[0].regularization == {"l0_units": 1e-5}
    assert load(file.replace("l0_units: 1.0e-5, l0_filters: 1.0e-3", "l0: 1.0e-5")).methods[0].keys == ("l0",)


def test_penalties_that_are_off_stand_in_the_way_of_none(load: Load) -> None:
    text = 'name: x\ntask: lenet300\ndataset: digits\ntraining: {epochs: 1, penalties: "off"}\n'
    load(text + "methods: [{label: P}, {label: DO, dropout: 0.5}]\n")


def test_a_share_that_units_cannot_drop_to_is_noted_once(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load_data(load(BASE, "training.1.drop.to=0.02", "training.1.drop.of=units"), None)
    assert capsys.readouterr().err == ""
    load_data(load(BASE, "training.1.drop.to=0.01", "training.1.drop.of=units"), None)
    (line,) = capsys.readouterr().err.splitlines()
    assert "phase 2 cannot drop units to 1 % of the units: the last unit of each layer stays, so it ends with " in line


@pytest.mark.parametrize(
    ("phase", "note"),
    [
        ("prune: {keep: 1.0e-9}", "phase 2 leaves no weight of fc1, fc2, fc3: 'prune' keeps 1e-07 % of 266200 weights"),
        (
            "prune: {keep: 0.1, within: layer, rounds: 4}",
            "phase 2 leaves no weight of fc3: 'prune' keeps 10 % of 266200 weights in each layer, 4 times",
        ),
        (
            "prune: {keep: {grid: [0.5, 8.0e-6]}}",
            "phase 2 leaves no weight of some layer, of 2 for 3 layers: 'prune' keeps 0.0008 % of 266200 weights",
        ),
        ("prune: {keep: 0.5}", ""),
    ],
)
def test_a_prune_that_leaves_no_weight_of_a_layer_is_noted(
    load: Load, capsys: pytest.CaptureFixture[str], phase: str, note: str
) -> None:
    load_data(load(EMPTYING.replace("PHASE", f", {{epochs: 1, {phase}}}")), None)
    assert note in capsys.readouterr().err if note else not capsys.readouterr().err


@pytest.mark.parametrize(
    ("density", "note"),
    [
        ("1.0e-7", "phase 1 leaves no weight of fc2, fc3: 'rewire' has 1 of 266200 weights, the fewest there can be"),
        ("1.0e-5", "phase 1 leaves no weight of fc3: 'rewire' has 3 of 266200 weights"),
        ("0.1", ""),
    ],
)
def test_a_density_that_leaves_no_weight_of_a_layer_is_noted(
    load: Load, capsys: pytest.CaptureFixture[str], density: str, note: str
) -> None:
    text = EMPTYING.replace("{epochs: 1}PHASE", f"{{epochs: 1, rewire: {{density: {density}, every: 2}}}}")
    load_data(load(text), None)
    assert note in capsys.readouterr().err if note else not capsys.readouterr().err


def test_a_report_says_each_phase_and_mlflow_each_setting(load: Load) -> None:
    sweep = load(BASE)
    cell = cells(sweep)[0]
    assert training_in_words(cell.phases) == (
        "20 steps, batches of 256, Adam, learning rate 0.001; then 30 steps, batches of 256, SGD, learning rate 0.1, "
        "units dropped by Taylor score to 10 % of the weights, every 100 steps on 1024 samples"
    )
    described = describe_cell(cell)
    assert (described["training.0.steps"], described["training.1.drop.to"]) == ("20", "0.1")
    assert "2 phases of training (paper: one)" in _deviations(sweep)


def test_dropout_may_say_where(load: Load) -> None:
    methods = """methods:
  - {label: both, dropout: {hidden: 0.5, input: 0.1}}
  - {label: input, dropout: {input: {grid: [0.1, 0.2]}}}
  - {label: by keys, dropout: 0.5, input_dropout: 0.1, l1: 1e-5}
  - {label: hidden, dropout: 0.5}
"""
    sweep = load(BASE.split("training")[0] + methods)
    assert cells(sweep, 0)[0].regularization == {"dropout": 0.5, "input_dropout": 0.1}
    assert [cell.regularization for cell in cells(sweep, 1)] == [{"input_dropout": 0.1}, {"input_dropout": 0.2}]
    assert cells(sweep, 2)[0].regularization == {"dropout": 0.5, "input_dropout": 0.1, "l1": 1e-5}
    assert cells(sweep, 3)[0].regularization == {"dropout": 0.5}
    for wrong, message in (
        ("dropout: {elsewhere: 0.5}", "or places: hidden, input"),
        ("input_dropout: 1e-9", "it acts in steps of 1/65536"),
        ("dropout: {input: 1.5}", r"input_dropout = 1.5 is out of range"),
        ("dropout: {input: 0.1}, input_dropout: 0.1", "input_dropout is set twice"),
        ("dropout: {hidden: 0.5, input: 0.1}, dropout_at_test: true", "it does not go with that"),
    ):
        with pytest.raises(SpecError, match=message):
            load(BASE.split("training")[0] + f"methods:\n  - {{label: P, {wrong}}}\n")


def test_pruning_takes_a_target_or_a_threshold_for_each_layer(load: Load) -> None:
    start, methods = BASE.split("training")[0], "methods:\n  - {label: P}\n"
    (cell,) = cells(load(start + "pruning: {target_density: 0.05}\n" + methods))
    assert cell.pruning == Pruning(target_density=0.05)
    assert pruning_in_words(cell) == "all weights but the largest 5 % become 0"
    (cell,) = cells(load(start + "pruning: {thresholds: {fc1: 0.02}}\n" + methods))
    assert cell.pruning == Pruning(threshold=0.01, thresholds={"fc1": 0.02})
    assert pruning_in_words(cell) == "weights with |w| < 0.01, of fc1 with |w| < 0.02 become 0"
    assert describe_cell(cell)["pruning.thresholds.fc1"] == "0.02"
    tuned = start + "training: [{epochs: 1}, {epochs: 1, fixed_structure: true}]\npruning: {target_density: 0.1}\n"
    assert pruning_in_words(cells(load(tuned + methods))[0]).endswith("10 % become 0 when the structure is fixed")
    searched = load(start + "pruning: {target_density: {grid: [0.1, 0.05]}}\n" + methods)
    assert [cell.pruning.target_density for cell in cells(searched)] == [0.1, 0.05]
    searched = load(start + "pruning: {thresholds: {fc1: {grid: [0.02, 0.03]}, fc2: 0.1}}\n" + methods)
    (method,), found = searched.methods, cells(searched)
    assert list(method.spaces) == ["pruning.thresholds.fc1"]
    assert [cell.pruning.thresholds for cell in found] == [{"fc1": 0.02, "fc2": 0.1}, {"fc1": 0.03, "fc2": 0.1}]
    assert searched.assignment_of(method, found[1], "digest", 2560) == {"pruning.thresholds.fc1": 0.03}
    drawn = load(
        start
        + "pruning: {thresholds: {fc1: {loguniform: [1e-3, 1e-1]}}}\nsearch: {algorithm: random, samples: 3}\n"
        + methods
    )
    assert len({cell.key for cell in cells(drawn)}) == 3
    for wrong, message in (
        ("{thresholds: {fc1: {grid: [0.1, -1]}}}", r"pruning\.thresholds\.fc1"),
        ("{thresholds: {fc1: {sometimes: [0.1]}}}", r"pruning\.thresholds\.fc1: .*a search space has one key of: grid"),
        ("{thresholds: {conv1: 0.1}}", r"pruning\.thresholds\.conv1: the regularised layers of 'lenet300' are: fc1"),
        ("{thresholds: {fc1: -1}}", r"pruning\.thresholds\.fc1"),
        ("{threshold: 0.1, target_density: 0.1}", "give one of them"),
        ("{target_density: 0}", r"pruning\.target_density"),
    ):
        with pytest.raises(SpecError, match=message):
            load(start + f"pruning: {wrong}\n" + methods)


def test_rounds_of_pruning_are_searched_and_said_in_words(load: Load) -> None:
    searched = "{keep: {grid: [0.5, 0.8]}, rounds: 2, rewind_to: {grid: [0, 5]}}"
    sweep = load(BASE.replace("drop: {to: {grid: [0.1, 0.05]}}", f"prune: {searched}"))
    found = cells(sweep)
    assert len({cell.key for cell in found}) == 8
    assert found[0].phases[1].prune == Prune(keep=0.5, rounds=2, rewind_to=0)
    assert describe_cell(found[0])["training.1.prune.rewind_to"] == "0"
    assert training_in_words(found[0].phases).endswith(
        "all but the largest 50 % of the weights removed 2 times over, each time trained like this, "
        "what stays going back to its value at step 0"
    )


def test_moving_weights_are_searched_and_said_in_words(load: Load) -> None:
    found = cells(load(BASE.replace("drop: {to: {grid: [0.1, 0.05]}}", "rewire: {density: {grid: [0.02, 0.1]}}")))
    assert len({cell.key for cell in found}) == 4
    assert found[0].phases[1].rewire == Rewire(density=0.02)
    assert training_in_words(found[0].phases).endswith(
        "2 % of the weights (Erdős–Rényi shares of layers), "
        "30 % of them, ever fewer, moved every 100 steps over the first 75 % of it"
    )


def test_moved_images_are_searched_from_none_on_and_said_in_words(load: Load) -> None:
    searched = BASE.replace("drop: {to: {grid: [0.1, 0.05]}}", "augment: {shift: {grid: [0, 2]}}")
    found = cells(load(searched))
    assert len({cell.key for cell in found}) == 4
    assert {cell.phases[1].augment for cell in found} == {None, Augment(shift=2)}
    assert found[0].key == cells(load(searched.replace("augment: {shift: {grid: [0, 2]}}", "shuffle: true")))[0].key
    words = [training_in_words(cell.phases) for cell in found]
    assert [text.partition("images ")[2] for text in words] == ["", "moved by at most 2 pixels each way"] * 2
    flipped = cells(load(searched, "training.1.augment.flip=true", "training.1.augment.shift=1"))
    expected = "images moved by at most 1 pixel each way and half of them mirrored"
    assert training_in_words(flipped[0].phases).endswith(expected)


def test_what_a_phase_learns_from_is_searched_and_said_in_words(load: Load) -> None:
    searched = BASE.replace("drop: {to: {grid: [0.1, 0.05]}}", "distill: {weight: {grid: [0.2, 1.0]}, temperature: 2}")
    found = cells(load(searched))
    assert len({cell.key for cell in found}) == 4
    assert {cell.phases[1].distill for cell in found} == {Distill(weight=w, temperature=2.0) for w in (0.2, 1.0)}
    words = [training_in_words(cell.phases).rpartition(", learned: ")[2] for cell in found]
    assert words[0] == "the label for 80 %, for the rest what the network before puts out, at temperature 2"
    assert words[1] == "what the network before puts out, at temperature 2"


@pytest.mark.parametrize(
    ("space", "values"),
    [
        ("{uniform: [0.1, 0.5]}", {0.1: True, 0.5: True, 0.3: True, 0.05: False, 0.6: False}),
        ("{loguniform: [0.1, 0.5]}", {0.1: True, 0.5: True, 0.3: True, 0.05: False, 0.6: False}),
        ("{choice: [0.1, 0.5]}", {0.1: True, 0.5: True, 0.3: False}),
        ("{grid: [0.1, 0.5]}", {0.1: True, 0.5: True, 0.3: False}),
    ],
)
def test_a_cell_outside_the_spaces_is_none_of_the_method(load: Load, space: str, values: dict[float, bool]) -> None:
    """As of a range that was wider once: the cell is stored, and the search could not propose it."""
    search = "" if "grid" in space else "search: {algorithm: random}\n"
    methods = f"methods:\n  - {{label: L1, l1: {space}}}\n"
    sweep = load(f"{BASE.split('training')[0]}training: {{epochs: 2}}\n{methods}{search}")
    (method,) = sweep.methods
    for value, is_in in values.items():
        cell = sweep.cell(method, {"l1": value}, "digest", 2560)
        assert sweep.assignment_of(method, cell, "digest", 2560) == ({"l1": value} if is_in else None)
