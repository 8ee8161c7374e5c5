import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from dn_distributed.config import Cell, Pruning, Training
from sweeps.errors import SpecError
from sweeps.spec import load as spec
from sweeps.spec.file import Resources, Search, SweepFile
from sweeps.spec.method import method_entry
from sweeps.spec.searchable import searchable
from sweeps.spec.sweep import Sweep
from sweeps.spec.yaml_file import YamlFile
from tests.sweeps.loading import Load
from tests.sweeps.loading import load as load

BASE = """name: small
task: lenet300
dataset: digits
seeds: 3
methods:
  - {label: P}
  - {label: DN, dn: 5e-5}
"""


def cell(sweep: Sweep, index: int = 0, **assignment: float) -> Cell:
    return sweep.cell(sweep.methods[index], assignment, "digest", 1000)


def test_what_the_file_leaves_out_comes_from_the_paper(load: Load) -> None:
    found = cell(load(BASE))
    assert found.phases[0].batch_size == 256
    assert found.phases[0].steps == 100 * (1000 // 256)
    assert found.pruning.threshold == 0.01


def test_dn_sets_both_directions_and_reads_numbers_without_a_dot(load: Load) -> None:
    assert cell(load(BASE), 1).regularization == {"dn_incoming": 5e-5, "dn_outgoing": 5e-5}


def test_seeds_are_a_number_or_a_list(load: Load) -> None:
    assert load(BASE).seeds == (0, 1, 2)
    assert load(BASE, "seeds=[4, 9]").seeds == (4, 9)


def test_task_and_dataset_take_options(load: Load) -> None:
    sweep = load(
        "name: n\ntask: {name: regression, hidden: [8, 4]}\n"
        "dataset: {name: linear_described, noise: 0.1}\nmethods: [{label: P}]"
    )
    assert sweep.task.layers == ("fc1", "fc2", "fc3")
    assert cell(sweep).dataset["noise"] == 0.1


@pytest.mark.parametrize(
    ("override", "check"),
    [
        ("training.epochs=5", lambda s: cell(s).phases[0].steps == 15),
        ("training.steps=7", lambda s: cell(s).phases[0].steps == 7),
        ("methods.1.dn=1e-3", lambda s: cell(s, 1).regularization["dn_incoming"] == 1e-3),
        ("resources.pack=2", lambda s: s.resources.pack == 2),
        ("pruning={threshold: 0.5}", lambda s: cell(s).pruning.threshold == 0.5),
    ],
)
def test_set_overrides_a_key(load: Load, override: str, check: Callable[[Sweep], bool]) -> None:
    assert check(load(BASE, override))


MANY = [round(1e-9 * step, 12) for step in range(1, 1001)]
LINEAR = "name: a\ntask: regression\ndataset: {name: linear_scripted, samples: SAMPLES}\nmethods: [{label: P}]\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (BASE + "sedes: 3\n", ["sweep.yaml:8: sedes", "unknown key", "seeds"]),
        (BASE.replace("dn: 5e-5", "dm: 5e-5"), ["sweep.yaml:7: methods[1].dm", "unknown key", "dropout"]),
        (BASE.replace("dn: 5e-5", "dn: -1"), ["sweep.yaml:7: methods[1].dn", "-1", "≥ 0"]),
        (BASE.replace("dn: 5e-5", "dn: much"), ["methods[1].dn", "expected a number", "'much'"]),
        (BASE.replace("dn: 5e-5", "dropout: 1"), ["methods[1].dropout", "0 ≤ dropout < 1"]),
        (BASE.replace("dn: 5e-5", "dn: 1, dn_incoming: 2"), ["methods[1]", "dn_incoming is set twice"]),
        (BASE.replace("DN, dn: 5e-5", "P, dn: 5e-5"), ["methods[1].label", "'P' stands twice"]),
        (BASE.replace("dn: 5e-5", "dn: 0"), ["methods[1]", "is the same as 'P'"]),
        (BASE.replace("lenet300", "lenet3000"), ["sweep.yaml:2: task", "unknown task 'lenet3000'", "lenet300"]),
        (BASE.replace("digits", "imagenet"), ["sweep.yaml:3: dataset", "kmnist"]),
        (BASE.replace("digits", "linear_scripted"), ["dataset", "does not fit task 'lenet300'", "mnist"]),
        (BASE.replace("seeds: 3", "seeds: 0"), ["sweep.yaml:4: seeds", "≥ 1"]),
        (BASE.replace("seeds: 3", "seeds: [1, 1]"), ["seeds", "different"]),
        (BASE + "training: {epochs: 0}\n", ["sweep.yaml:8: training.epochs", "greater than or equal to 1", "0"]),
        (BASE + "training: {epochs: 1, steps: 2}\n", ["training", "exactly one of 'epochs' and 'steps'"]),
        (BASE + "training: {batch_size: '3'}\n", ["training.batch_size", "valid integer", "'3'"]),
        (BASE + "training: 5\n", ["training", "expected a mapping"]),
        (BASE + "training: {precision: fp16}\n", ["training.precision", "'float32', 'bf16' or 'tf32'"]),
        (BASE + "training: {precision: tf32}\n", ["sweep.yaml:8: training.precision", "set resources.gpu"]),
        (
            BASE + "training: [{epochs: 1, precision: bf16}, {epochs: 1, precision: tf32}]\n",
            ["training[1].precision", "set resources.gpu"],
        ),
        (BASE + "pruning: {treshold: 1}\n", ["pruning.treshold", "valid: threshold"]),
        (BASE + "resources: {pack: 0}\n", ["sweep.yaml:8: resources.pack: input should be greater than or equal to 1"]),
        (BASE + "search: {algorithm: grid}\n", ["search", "search space"]),
        (BASE.replace("label: DN", "label: DN, published: ℓ1"), ["methods[1].published", "ℓ1+DN+DO+P"]),
        (
            BASE.replace("lenet300", "convnet").replace("label: DN", "label: DN, published: ℓ1+DN+P"),
            ["methods[1].published", "{name: convnet, count_hidden_by: max}"],
        ),
        (
            BASE.replace("task: lenet300", "task: {name: convnet, count_hidden_by: sum}"),
            ["task.count_hidden_by", "'min' or 'max'"],
        ),
        (BASE.replace("dn: 5e-5", "dn: {gird: [1]}"), ["methods[1].dn", "grid, choice, uniform, loguniform"]),
        (BASE.replace("dn: 5e-5", "dn: {grid: []}"), ["methods[1].dn", "list of numbers"]),
        (BASE.replace("dn: 5e-5", "dn: {grid: [1, -2]}"), ["methods[1].dn", "out of range"]),
        (BASE.replace("dn: 5e-5", "dn: {loguniform: [0, 1]}"), ["methods[1].dn", "above 0"]),
        (BASE.replace("dn: 5e-5", "dn: {uniform: [0, 1]}"), ["methods[1].dn", "grid spaces only"]),
        (BASE + "name: other\n", ["sweep.yaml:8", "'name' stands twice"]),
        (BASE.replace("name: small", "name: ../up"), ["name", "letters"]),
        (BASE.replace("name: small\n", ""), ["name", "required"]),
        ("- 1\n", ["a sweep file is a mapping"]),
        ("a: [1\n", ["sweep.yaml:"]),
        (BASE + "---\na: 1\n", ["sweep.yaml:8: another document begins here (---): a sweep file holds one"]),
        ("a: !!python/object/apply:os.system [ls]\n", ["sweep.yaml:1: a", "os.system", "not allowed"]),
        (BASE + "# \x1b[31m\n", ["sweep.yaml:8: ", "not allowed"]),
        ("a: &a [1]\nname: *a\n", ["sweep.yaml:2: aliases (*name) are not allowed"]),
        (BASE.replace("seeds: 3", f"seeds: {['x' * 9000]}"), ["sweep.yaml:4: seeds[0]", "9000 characters"]),
        (BASE.replace("seeds: 3", f"seeds: {['x' * 900]}"), ["sweep.yaml:4: seeds", "x…"]),
        (BASE.replace("dn: 5e-5", f"dn: {10**400}"), ["sweep.yaml:7: methods[1].dn: 1000", "too large a number"]),
        (BASE.replace("dn: 5e-5", "dn: 1e400"), ["sweep.yaml:7: methods[1].dn: 1e400", "too large a number"]),
        (BASE.replace("dn: 5e-5", "dn: 1e-400"), ["methods[1].dn: 1e-400", "too small a number"]),
        (BASE.replace("dn: 5e-5", "1: 2"), ["sweep.yaml:7: methods[1].1", "not text"]),
        (BASE.replace("dn: 5e-5", "? [a] : 2"), ["sweep.yaml:7: methods[1]", "not text"]),
        (BASE.replace("dn: 5e-5", "<<: {dn: 1}"), ["sweep.yaml:7: methods[1].<<", "unknown key"]),
        (BASE.replace("dn: 5e-5", "dn: !!int 0x10"), ["methods[1].dn", "0x10 is no decimal number"]),
        (BASE.replace("dn: 5e-5", "dn: !!binary aGk="), ["methods[1].dn", "binary", "not allowed"]),
        (BASE.replace("dn: 5e-5", "dn: !!set {a, b}"), ["methods[1].dn", "set", "not allowed"]),
        (BASE.replace("name: small", 'name: "a\\nb"'), ["sweep.yaml:1: name", "printable", "'a\\nb'"]),
        (BASE + f"training: {{{'k' * 900}: 1}}\n", ["sweep.yaml:8: training.kkk", "k…", "unknown key"]),
        (
            BASE.partition("methods")[0] + f"methods: {[{'label': str(i)} for i in range(1001)]}",
            ["1001 methods are"],
        ),
        ("a: " + "[" * 5000 + "]" * 5000, ["sweep.yaml: nested too deeply"]),
        (BASE + "#" * 2**20, ["sweep.yaml: larger than 1048576 bytes"]),
        (BASE.replace("name: small", f"name: {'a' * 101}"), ["name", "expected at most 100 letters"]),
        (BASE.replace("label: DN", f"label: {'a' * 101}"), ["methods[1].label", "at most 100 printable"]),
        (BASE.replace("label: DN", "label: 'P '"), ["methods[1].label: expected no space at an end", "not 'P '"]),
        (BASE.replace("label: DN", "label: 'a  b'"), ["methods[1].label", "single ones between words"]),
        (BASE.replace("label: DN", "label: a\u00a0b"), ["methods[1].label", "printable"]),
        (BASE.replace("label: DN", 'label: "D\\eN"'), ["methods[1].label", "printable"]),
        (BASE + f"training: {{epochs: {10**24}}}\n", ["training.epochs", "less than or equal to"]),
        (BASE.replace("seeds: 3", "seeds: 100001"), ["seeds", "too many"]),
        (BASE.replace("seeds: 3", f"seeds: [{2**63}]"), ["seeds"]),
        (
            BASE.replace("dn: 5e-5", f"dn: {{grid: {MANY}}}, l1: {{grid: {MANY}}}"),
            ["methods[1]: 1000000 configurations"],
        ),
        (BASE.replace("dn: 5e-5", f"dn: {{grid: {MANY}}}").replace("seeds: 3", "seeds: 9999"), ["seeds", "replicates"]),
        (BASE + f"resources: {{cpu: {10**300}}}\n", ["resources.cpu", "less than or equal to"]),
        (LINEAR.replace("SAMPLES", str(10**14)), ["dataset.samples", "less than or equal to"]),
        (LINEAR.replace("SAMPLES", str(10**8)), ["dataset", "too many numbers"]),
        (LINEAR.replace("SAMPLES", "9").replace("regression", "{name: regression, hidden: [99999]}"), ["task.hidden"]),
    ],
)
def test_a_mistake_is_one_line_that_names_key_and_choice(load: Load, text: str, parts: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        load(text)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 1000
    for part in parts:
        assert part in message


NUMBERS = {
    "1e-5": 1e-5, "1E5": 1e5, "1.5e+3": 1500.0, ".5": 0.5, "-.5": -0.5, "5.": 5.0, "+3": 3, "-1": -1, "0": 0,
    "1_000": 1000, "1_000.5": 1000.5, "0.10": 0.1, "1e-05": 1e-5, "!!float 1": 1.0, "100000000000000000000": 10**20,
}  # fmt: skip
"""As people write them, and what they mean."""
NO_NUMBERS = [
    "0100", "-010", "00", "0x10", "0b11", "1:30", "190:20:30.15", "2024-01-01", "2024-13-45",
    "2001-12-14t21:59:43.10-05:00", ".inf", "-.INF", ".nan", ".NaN", "1_", "1__0", "0x1_0",
]  # fmt: skip
"""What YAML 1.1 takes for a number or a date, and people do not."""


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_means_what_people_write(load: Load, tmp_path: Path, text: str) -> None:
    (tmp_path / "n.yaml").write_text(f"a: [{text}]\n")
    (read,) = YamlFile(tmp_path / "n.yaml").data["a"]
    given = YamlFile(tmp_path / "n.yaml").override(("a",), text, f"a={text}")
    assert (read, given) == (NUMBERS[text], NUMBERS[text])
    assert type(read) is type(given) is type(NUMBERS[text])


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_other_numbers_and_dates_are_refused_wherever_they_stand(load: Load, text: str) -> None:
    with pytest.raises(SpecError, match=rf"sweep\.yaml:8: training\.epochs: {re.escape(text)} is no decimal number"):
        load(BASE + f"training: {{epochs: {text}}}\n")
    with pytest.raises(SpecError, match=rf"sweep\.yaml:7: methods\[1\]\.label: {re.escape(text)} is no decimal"):
        load(BASE.replace("label: DN", f"label: {text}"))
    with pytest.raises(
        SpecError, match=rf"sweep\.yaml: --set seeds=\[{re.escape(text)}\]: seeds\[0\]: {re.escape(text)}"
    ):
        load(BASE, f"seeds=[{text}]")


def test_what_looks_like_a_number_is_text_in_quotes_and_stays_it(load: Load, tmp_path: Path) -> None:
    texts = ["010", "1e5", "yes", "2024-01-01", "1:30", ".inf", "null", "=", "<<", "~", "08", "1_000"]
    changed = load(BASE.partition("methods")[0] + f"methods: {[{'label': text} for text in texts]}", "seeds=2", *(
        f"methods.{place}.l1={place + 1}e-5" for place in range(len(texts))
    ))  # fmt: skip
    again = tmp_path / "again.yaml"
    again.write_text(changed.source, encoding="utf-8")
    assert dataclasses.replace(spec.load(again), path=changed.path) == changed
    assert [method.label for method in changed.methods] == texts


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("methods.1.dn=.inf", "methods[1].dn: .inf is no decimal number: give a finite one, or text in quotes"),
        ("methods.1.dn=.NaN", ".NaN is no decimal number: give a finite one"),
        ("name=..", "'-', '_' and '.', the first no '.', not '..'"),
        ("task={name: network, architecture: {mlp: {hidden: 8}}}", "hidden: expected a list, as [8], not 8"),
        ("epochs", "give key=value"),
        ("=3", "give key=value"),
        ("methods..l1=3", "give key=value"),
        ("methods.9.l1=1", "there is no '9': methods has 2 items, from 0 on"),
        ("methods.².l1=1", "there is no '²': methods has 2 items"),
        (f"methods.{'9' * 5000}=1", "there is no '9999"),
        ("task.hidden=[8]", "there is no 'hidden': task is 'lenet300'"),
        ("training.x.y=1", "training.x: unknown key"),
        ("seeds={a", "--set seeds={a: seeds: no YAML value"),
        ("training.epochs=0", "--set training.epochs=0: training.epochs: input should be greater"),
        ("training.epochs=", "sweep.yaml: with --set training.epochs=: training: give exactly one of 'epochs' and"),
        ("name=\x1b[31m", "name: no YAML value"),
    ],
)
def test_a_wrong_override_is_refused(load: Load, override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(BASE, override)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 1000


def test_the_source_says_what_the_file_and_its_overrides_say(load: Load, tmp_path: Path) -> None:
    assert load(BASE).source == BASE
    changed = load(BASE, "seeds=2", "methods.0.label=ℓ1")
    again = tmp_path / "again.yaml"
    again.write_text(changed.source, encoding="utf-8")
    assert dataclasses.replace(spec.load(again), path=changed.path) == changed


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere\.yaml: No such file"):
        spec.load(tmp_path / "nowhere.yaml")


def test_a_grid_gives_every_combination_once(load: Load) -> None:
    sweep = load(BASE.replace("dn: 5e-5", "dn: {grid: [1e-5, 1e-4]}, l1: {grid: [0, 1e-6, 1e-5]}"))
    found = sweep.enumerated(sweep.methods[1])
    assert len(found) == 6
    tried = [(values["dn"], values["l1"]) for values in found]
    assert sorted(tried) == sorted(itertools.product([1e-5, 1e-4], [0, 1e-6, 1e-5]))
    made = [cell(sweep, 1, **values) for values in found]
    assert [(item.regularization["dn_incoming"], item.regularization.get("l1", 0)) for item in made] == tried
    assert len({item.key for item in made}) == 6


def test_random_draws_lie_in_range_and_more_samples_keep_the_first(load: Load) -> None:
    text = BASE.replace("dn: 5e-5", "dn: {loguniform: [1e-6, 1e-3]}") + "search: {algorithm: random, samples: 4}\n"
    few, many = load(text), load(text, "search.samples=7")
    first, longer = few.enumerated(few.methods[1]), many.enumerated(many.methods[1])
    assert len(first) == 4
    assert longer[:4] == first
    assert all(1e-6 <= values["dn"] <= 1e-3 for values in longer)


def test_training_and_threshold_can_be_searched_too(load: Load) -> None:
    text = BASE + "training: {learning_rate: {grid: [1e-3, 1e-2]}}\npruning: {threshold: {grid: [0.01, 0.1]}}\n"
    sweep = load(text)
    rates = {cell(sweep, 0, **values).phases[0].learning_rate for values in sweep.enumerated(sweep.methods[0])}
    assert rates == {1e-3, 1e-2}
    assert len(sweep.enumerated(sweep.methods[0])) == 4


def test_a_stored_cell_is_recognised_by_the_values_that_made_it(load: Load) -> None:
    text = BASE.replace("dn: 5e-5", "dn: {uniform: [1e-6, 1e-3]}") + "search: {algorithm: optuna, samples: 2}\n"
    sweep = load(text)
    made = cell(sweep, 1, dn=2e-4)
    assert sweep.assignment_of(sweep.methods[1], made, "digest", 1000) == {"dn": 2e-4}
    other = load(text, "training.epochs=3")
    assert other.assignment_of(other.methods[1], made, "digest", 1000) is None


def test_a_stored_cell_is_recognised_by_values_that_change_nothing(load: Load) -> None:
    training = "optimizer: sgd, momentum: {choice: [0, 0.9]}, weight_decay: {choice: [0, 0.1]}"
    training += ", warmup_steps: {choice: [0, 5]}, augment: {shift: {choice: [0, 1]}}"
    text = BASE.replace("dn: 5e-5", "dn: {uniform: [0, 1e-3]}, dropout: {choice: [0, 0.5]}")
    text += f"training: {{{training}}}\nsearch: {{algorithm: optuna}}\n"
    text += "pruning: {threshold: {uniform: [0, 0.1]}, thresholds: {fc1: {choice: [0, 0.1]}}}\n"
    sweep = load(text)
    method = sweep.methods[1]
    none = dict.fromkeys(method.spaces, 0.0)
    assert len(none) == 8
    assert sweep.assignment_of(method, cell(sweep, 1, **none), "digest", 1000) == none


def test_selection_is_on_validation_data_after_pruning_unless_told_otherwise(load: Load) -> None:
    sweep = load(BASE.replace("dn: 5e-5", "dn: {grid: [1e-5, 1e-4]}"))
    assert sweep.selection is not None
    assert sweep.selection.objective == "validation/accuracy/after_pruning"
    assert sweep.selection.higher_is_better


def test_a_test_score_cannot_be_an_objective(load: Load) -> None:
    text = BASE.replace("dn: 5e-5", "dn: {grid: [1e-5]}") + "search: {objective: test/accuracy/after_pruning}\n"
    with pytest.raises(SpecError, match=r"search\.objective: unknown objective .* valid: validation/loss"):
        load(text)


@pytest.mark.parametrize("path", sorted(Path(spec.__file__).parents[1].glob("*/*.yaml")), ids=lambda path: path.name)
def test_shipped_sweep_files_are_valid(path: Path) -> None:
    assert spec.load(path).methods


@pytest.mark.parametrize(
    "model",
    [SweepFile, method_entry(), Resources, Search, searchable(Training), searchable(Pruning)],
    ids=lambda model: model.__name__,
)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


REGRESSION = "name: n\ntask: regression\nmethods: [{label: P}, "


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("{label: D, dropout_at_test: true}", "needs dropout"),
        ("{label: D, dropout: 0.5, dropout_inert: 1}", "expected true or false"),
        ("{label: D, dropout: 0.5, dropout_inert: true, dropout_at_test: true}", "does not go with"),
        ("{label: D, baseline: ridge}", "unknown baseline 'ridge'; valid: lasso, omp"),
        ("{label: D, baseline: omp, l1: 1}", "omp takes no coefficient"),
        ("{label: D, l1: 1, step: prox}", r"methods\[1\].step: .*'subgradient' or 'proximal'"),
        ("{label: D, l2: 1, step: proximal}", r"step: no penalty of this method has a proximal form; l1, .* have one"),
        ("{label: D, baseline: omp, step: proximal}", "step: no penalty of this method has a proximal form"),
    ],
)
def test_faults_and_baselines_are_checked(load: Load, method: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(REGRESSION + method + "]")


def test_a_baseline_is_for_a_linear_regression(load: Load) -> None:
    with pytest.raises(SpecError, match="omp fits a linear regression, not task 'lenet300'"):
        load(BASE + "  - {label: OMP, baseline: omp}\n")


def test_methods_that_differ_in_their_step_alone_are_two(load: Load) -> None:
    text = BASE + "  - {label: exact, dn: 5e-5, step: proximal}\n  - {label: again, dn: 5e-5, step: subgradient}\n"
    with pytest.raises(SpecError, match="'again' is the same as 'DN'"):
        load(text)
    sweep = load(text.rpartition("  -")[0])
    plain, exact = cell(sweep, 1), cell(sweep, 2)
    assert (plain.step, exact.step) == ("subgradient", "proximal")
    assert plain.regularization == exact.regularization
    assert plain.key != exact.key


@pytest.mark.parametrize("key", ["l1", "dn", "dn_incoming", "l2_as_scripted", "l2: 1, l1"])
def test_a_shorthand_or_one_penalty_of_several_may_have_the_proximal_form(load: Load, key: str) -> None:
    assert load(BASE + f"  - {{label: exact, {key}: 5e-5, step: proximal}}\n").methods[-1].step == "proximal"


def test_a_baseline_is_part_of_the_identity(load: Load) -> None:
    sweep = load(REGRESSION + "{label: A, baseline: omp}, {label: B, baseline: lasso}]")
    assert [cell(sweep, index).baseline for index in range(3)] == [None, "omp", "lasso"]
    assert len({cell(sweep, index).key for index in range(3)}) == 3


def test_precision_is_part_of_the_identity_and_tf32_of_gpus(load: Load) -> None:
    assert cell(load(BASE, "training.precision=bf16")).phases[0].precision == "bf16"
    assert cell(load(BASE, "training.precision=tf32", "resources.gpu=1")).phases[0].precision == "tf32"
    keys = {cell(load(BASE, *said)).key for said in ([], ["training.precision=float32"], ["training.precision=bf16"])}
    assert len(keys) == 2


def test_thresholds_of_a_curve_are_part_of_the_identity(load: Load) -> None:
    with_curve = load(BASE, "pruning.curve=[0.001, 0.1]")
    assert cell(with_curve).pruning.curve == (0.001, 0.1)
    assert cell(with_curve).key != cell(load(BASE)).key
    with pytest.raises(SpecError, match=r"pruning\.curve"):
        load(BASE, "pruning.curve=[-1]")


IN_VAIN = "pruning: {threshold: {grid: [0.1, 0.2]}}\nsearch: "


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("training: {batch_size: {uniform: [16, 64]}}\nsearch: {algorithm: random}\n", "batch_size: a whole number"),
        ("training: {epochs: {choice: [1, 2]}}\nsearch: {algorithm: optuna}\n", "search steps instead"),
        ("pruning: {threshold: {choice: [0.1, 0.2]}}\nsearch: {algorithm: optuna}\n", "use grid search"),
        (
            "  - {label: D, dropout: {uniform: [0.1, 0.5]}, dropout_inert: true}\nsearch: {algorithm: optuna}\n",
            r"methods\[2\]\.dropout: dropout_inert throws it away, so optuna cannot search it",
        ),
        (
            IN_VAIN + "{samples: 2}\n",
            r"search\.samples: of random and optuna search, where something is drawn: this is",
        ),
        (IN_VAIN + "{algorithm: grid, samples: 1}\n", r"search\.samples: of random and optuna search"),
        (IN_VAIN + "{seed: 3}\n", r"search\.seed: of random and optuna search"),
        (
            IN_VAIN + "{algorithm: random, samples: 2}\n",
            r"search\.algorithm: random search draws .*: all spaces are grids",
        ),
        (IN_VAIN + "{grace_epochs: 2}\n", r"search\.grace_epochs: of a scheduler: set scheduler: asha"),
        (IN_VAIN + "{scheduler: none, reduction_factor: 2}\n", r"search\.reduction_factor: of a scheduler"),
        ("pruning: {threshold: {grid: [0.1, 0.2]}}\nsearch: {size: density}\n", "of optuna, not of grid search"),
        (
            "pruning: {threshold: {uniform: [0.1, 0.2]}}\n"
            "search: {algorithm: optuna, scheduler: asha, size: density}\n",
            "asha ends configurations by one objective alone",
        ),
        (IN_VAIN + "{scheduler: asha}\nresources: {pack: 2}\n", r"resources\.pack: .* asha has all 3 seeds"),
        (
            "pruning: {threshold: {uniform: [0.1, 0.2]}}\nsearch: {algorithm: optuna}\nresources: {pack: 2}\n",
            r"resources\.pack: a search by optuna has all 3 seeds of a configuration in one pack",
        ),
    ],
)
def test_searches_that_cannot_work_are_refused(load: Load, extra: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(BASE + extra)


@pytest.mark.parametrize(
    ("space", "search"),
    [
        ("uniform", "{algorithm: random, samples: 2, seed: 1}"),
        ("uniform", "{algorithm: optuna, samples: 2, seed: 1}"),
        ("grid", "{scheduler: asha, grace_epochs: 2, reduction_factor: 2}"),
    ],
)
def test_options_of_a_search_are_taken_where_they_act(load: Load, space: str, search: str) -> None:
    assert load(BASE + f"pruning: {{threshold: {{{space}: [0.1, 0.2]}}}}\nsearch: {search}\n").search is not None


def test_random_search_draws_where_one_space_of_several_is_no_grid(load: Load) -> None:
    text = BASE.replace("dn: 5e-5", "dn: {grid: [1e-5, 1e-4]}, l1: {uniform: [0, 1]}")
    sweep = load(text + "search: {algorithm: random, samples: 3, seed: 1}\n")
    assert len(sweep.enumerated(sweep.methods[1])) == 6


def test_too_many_seeds_are_refused(load: Load) -> None:
    with pytest.raises(SpecError, match="too many"):
        load(BASE, "seeds=99999999999999999999")


@pytest.mark.parametrize("key", ["dataset", "search"])
def test_a_key_with_nothing_behind_it_is_no_default(key: str) -> None:
    with pytest.raises(SpecError, match=f"{key}: nothing stands there; give a value, or leave the key out"):
        spec.load({"name": "x", "task": "lenet300", "methods": [{"label": "P"}], key: None})


def test_a_dictionary_may_hold_numpy_s_numbers_ranges_and_tuples() -> None:
    methods = ({"label": "P", "l1": {"grid": np.array([1e-5, 1e-4])}},)
    content = {"name": "x", "task": "lenet300", "seeds": range(3, 5), "training": {"epochs": np.int64(2)}}
    sweep = spec.load({**content, "methods": methods}, "training.batch_size=7")
    assert (sweep.seeds, sweep.phases[0]["epochs"], sweep.phases[0]["batch_size"]) == ((3, 4), 2, 7)
    assert sweep.methods[0].spaces["l1"].values == (1e-5, 1e-4)


def test_coefficients_of_gates_are_keys_of_a_method(load: Load) -> None:
    sweep = load("name: a\ntask: lenet300\nmethods: [{label: L0, l0: {grid: [1e-6, 2e-6]}}, {label: P}]\n")
    first, second = sweep.methods
    (values, _) = sweep.enumerated(first)
    cell = sweep.cell(first, values, "digest", 2560)
    assert cell.regularization == dict.fromkeys(("l0_filters", "l0_inputs", "l0_units"), 1e-6)
    assert sweep.assignment_of(first, cell, "digest", 2560) == {"l0": 1e-6}
    assert sweep.cell(second, {}, "digest", 2560).regularization == {}


def test_a_range_without_a_search_that_draws_is_refused_where_it_stands(load: Load) -> None:
    text = "name: x\ntask: lenet300\ntraining: {epochs: 1}\nmethods:\n"
    text += "  - {label: P}\n  - {label: L, l1: {uniform: [0, 1]}}\n"
    with pytest.raises(SpecError, match=r"sweep.yaml:6: methods\[1\]\.l1: grid search, .* takes grid spaces only"):
        load(text)
    searched = "training: {learning_rate: {choice: [0.1, 1]}, epochs: 1}\nsearch: {algorithm: grid}"
    with pytest.raises(SpecError, match=r"sweep.yaml:3: training\.learning_rate: grid search .* not choice: give"):
        load(text.replace("training: {epochs: 1}", searched).replace("{uniform: [0, 1]}", "1e-3"))
