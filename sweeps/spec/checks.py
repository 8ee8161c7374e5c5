"""What of a sweep must fit together, key by key right as it may be."""

import math
from collections.abc import Iterator, Set
from typing import Any

from dn_distributed import random_weights, regularizers, score_names
from dn_distributed.proximal import FORMS
from dn_distributed.regularizers import expand_shorthand
from dn_distributed.regularizers.dropout import INPUT_NAME as INPUT_DROPOUT
from dn_distributed.regularizers.dropout import NAME as DROPOUT
from dn_distributed.tasks import TASKS, Task
from dn_distributed.tasks.network import Network
from dn_distributed.text import quoted
from sweeps.spec.file import Search
from sweeps.spec.sweep import Method, Sweep
from sweeps.spec.yaml_file import KeyPath
from tracking import manifest, published_rows

Problem = tuple[KeyPath, str]
"""Where something is wrong, and what."""


def check(sweep: Sweep) -> None:
    """SpecError at the first key that does not go with others."""
    for keys, message in _problems(sweep):
        raise sweep.places.error(keys, message)


def _problems(sweep: Sweep) -> Iterator[Problem]:
    for index, method in enumerate(sweep.methods):
        for key, message in _of_method(method, sweep.task):
            yield ("methods", index, key), message
    if isinstance(sweep.task, Network) and sweep.task.penalized and sweep.task.filters:
        yield (
            ("task", "filters"),
            "'penalized' names all layers that are meant: name convolutions there, or leave it out",
        )
    if sweep.task.is_fitted:
        yield from of_fitted_task(sweep)
    yield from _of_equal_methods(sweep)
    yield from _of_phases(sweep)
    yield from _of_precision(sweep)
    yield from _of_size(sweep)
    yield from _of_search(sweep)


def _of_method(method: Method, task: Task) -> Iterator[tuple[str, str]]:
    """What is wrong with a method by itself, by its key."""
    row, valid = method.published, published_rows.row_names(task.name)
    free = {key: getattr(task, key) for key in task.free_options}
    if row is not None and task != TASKS[task.name](**{"name": task.name, **free, **task.published_options}):
        options = {"name": task.name, **task.published_options}
        shown = ", ".join(f"{key}: {value}" for key, value in options.items())
        yield "published", f"the published figures are of task {{{shown}}}"
    if row is not None and row not in valid:
        yield "published", f"no published row {quoted(row)}; valid: {', '.join(valid) or 'none'}"
    faults = [name for name in ("dropout_at_test", "dropout_inert") if getattr(method, name)]
    for name in faults:
        if DROPOUT not in method.keys:
            yield name, "needs dropout"
        if INPUT_DROPOUT in method.keys:
            yield name, f"no published script has {INPUT_DROPOUT}: it does not go with that"
    if len(faults) > 1:
        yield faults[1], f"does not go with {faults[0]}"
    if method.baseline is not None and task.kind != "linear":
        yield "baseline", f"{method.baseline} fits a linear regression, not task {task.name!r}"
    if method.step == "proximal" and not FORMS.keys() & {part for key in method.keys for part in expand_shorthand(key)}:
        yield "step", f"no penalty of this method has a proximal form; {', '.join(FORMS)} have one"
    if method.baseline is not None and method.keys:
        yield method.keys[0], f"{method.baseline} takes no coefficient of a network"


def of_fitted_task(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with names of layers and scores, which a task may have from its data."""
    yield from _of_pruning(sweep)
    yield from _of_random_weights(sweep)
    yield from _of_objective(sweep)


def _of_pruning(sweep: Sweep) -> Iterator[Problem]:
    for name in sweep.pruning.get("thresholds", ()):
        if name not in sweep.task.layers:
            message = f"the regularised layers of {sweep.task.name!r} are: {', '.join(sweep.task.layers)}"
            yield ("pruning", "thresholds", name), message


def _of_random_weights(sweep: Sweep) -> Iterator[Problem]:
    """Coefficients of gates that no layer would have; a shorthand sets those of other networks too."""
    given = [
        (index, name)
        for index, method in enumerate(sweep.methods)
        for name in method.keys
        if name in random_weights.COEFFICIENTS and method.coefficients.get(name) != 0
    ]
    if not given:
        return
    try:
        acting = random_weights.acting(sweep.task.network(), sweep.task.layers)
    except Exception:  # of anybody's network: what is wrong with it is reported where a step is tried
        return
    for index, name in given:
        if name not in acting:
            yield ("methods", index, name), f"no regularised layer of {sweep.task.name!r} has such gates"


def _of_equal_methods(sweep: Sweep) -> Iterator[Problem]:
    labels: dict[Any, str] = {}
    for index, method in enumerate(sweep.methods):
        if method.label in labels.values():
            yield ("methods", index, "label"), f"{method.label!r} stands twice"
        other = labels.setdefault(_settings(method), method.label)
        if other != method.label:
            yield ("methods", index), f"{method.label!r} is the same as {other!r}"


def _settings(method: Method) -> Any:
    """What a method trains with: methods that agree in it are one."""
    if method.spaces:
        return method.label
    coefficients = frozenset(regularizers.resolve(method.coefficients).items())
    return coefficients, method.step, method.dropout_at_test, method.dropout_inert, method.baseline


def _of_phases(sweep: Sweep) -> Iterator[Problem]:
    """What phases would do in vain."""
    first, *others = sweep.phases
    if first.get("fixed_structure"):
        message = "nothing is trained yet that could be pruned: give it to a later phase"
        yield _key_of_phase(sweep, 0, "fixed_structure"), message
    if any(phase.get("penalties") != "off" for phase in (first, *others)):
        return
    for method in sweep.methods:
        for key in method.keys:
            if {*regularizers.PENALTIES, *random_weights.COEFFICIENTS} & set(expand_shorthand(key)):
                where = "" if not others else " in every phase"
                message = f"penalties are off{where}, and {method.label!r} has one: {key}"
                yield _key_of_phase(sweep, len(others), "penalties"), message


def _key_of_phase(sweep: Sweep, number: int, key: str) -> KeyPath:
    return ("training", number, key) if isinstance(sweep.training, tuple) else ("training", key)


def _of_precision(sweep: Sweep) -> Iterator[Problem]:
    for number, phase in enumerate(sweep.phases):
        if phase.get("precision") == "tf32" and not sweep.resources.gpu:
            message = "tf32 is of NVIDIA GPUs: set resources.gpu too, or give float32 or bf16"
            yield _key_of_phase(sweep, number, "precision"), message


def _of_size(sweep: Sweep) -> Iterator[Problem]:
    """Before anything is enumerated."""
    total = 0
    for index, method in enumerate(sweep.methods):
        only_grids = all(space.kind == "grid" for space in method.spaces.values())
        drawn = 1 if only_grids or sweep.search is None else sweep.search.samples
        count = drawn * math.prod(len(space.values) for space in method.spaces.values() if space.kind == "grid")
        total += count * len(sweep.seeds)
        yield from _too_many(("methods", index), configurations=count)
    yield from _too_many(("seeds",), replicates=total)


def _too_many(keys: KeyPath, **counts: int) -> Iterator[Problem]:
    try:
        manifest.check_size(**counts)
    except ValueError as error:
        yield keys, str(error)


def _of_search(sweep: Sweep) -> Iterator[Problem]:
    kinds = {space.kind for method in sweep.methods for space in method.spaces.values()}
    algorithm = sweep.search.algorithm if sweep.search else "grid"
    if sweep.search is not None and not kinds:
        yield ("search",), "no hyper-parameter of this file is a search space"
    if algorithm == "grid":
        yield from _of_grid_search(sweep)
    if algorithm == "optuna":
        yield from _of_optuna(sweep)
    if sweep.search is not None and sweep.search.size is not None:
        if algorithm != "optuna":
            yield ("search", "size"), f"a second objective is of optuna, not of {algorithm} search"
        if sweep.search.scheduler != "none":
            yield ("search", "size"), f"{sweep.search.scheduler} ends configurations by one objective alone"
    if sweep.search is not None:
        yield from _of_options_in_vain(sweep.search, kinds)
    most = sweep.resources.pack
    whole = sweep.has_scheduler or all(map(sweep.adaptive, sweep.methods))
    if whole and isinstance(most, int) and most < len(sweep.seeds):
        who = "asha" if sweep.has_scheduler else "optuna"
        message = f"a search by {who} has all {len(sweep.seeds)} seeds of a configuration in one pack: leave it out"
        yield ("resources", "pack"), message


def _of_options_in_vain(search: Search, kinds: Set[str]) -> Iterator[Problem]:
    """What a search is told that it has no use for."""
    if search.algorithm == "random" and kinds == {"grid"}:
        message = "random search draws from choice, uniform and loguniform spaces: all spaces are grids, and run whole"
        yield ("search", "algorithm"), message
    if search.algorithm == "grid":
        for key in ("samples", "seed"):
            if key in search.model_fields_set:
                yield ("search", key), "of random and optuna search, where something is drawn: this is grid search"
    if search.scheduler == "none":
        for key in ("grace_epochs", "reduction_factor"):
            if key in search.model_fields_set:
                yield ("search", key), "of a scheduler: set scheduler: asha"


def _of_grid_search(sweep: Sweep) -> Iterator[Problem]:
    for index, method in enumerate(sweep.methods):
        for name, space in method.spaces.items():
            if space.kind != "grid":
                said = "grid search, which there is without 'search'," if sweep.search is None else "grid search"
                instead = "give a grid, or search: {algorithm: random, samples: 10}"
                message = f"{said} takes grid spaces only, not {space.kind}: {instead}"
                yield _key_of_space(index, name), message


def _key_of_space(index: int, name: str) -> KeyPath:
    if "." not in name:
        return ("methods", index, name)
    return tuple(int(part) if part.isdecimal() else part for part in name.split("."))


def _of_objective(sweep: Sweep) -> Iterator[Problem]:
    objective = sweep.search.objective if sweep.search else None
    valid = score_names.final_objectives(["loss", *(score.name for score in sweep.task.scores)])
    if objective is not None and objective not in valid:
        yield ("search", "objective"), f"unknown objective {quoted(objective)}; valid: {', '.join(valid)}"


def _of_optuna(sweep: Sweep) -> Iterator[Problem]:
    for index, method in enumerate(sweep.methods):
        kinds = {space.kind for space in method.spaces.values()}
        if method.dropout_inert and DROPOUT in method.spaces:
            message = "dropout_inert throws it away, so optuna cannot search it: give a number"
            yield ("methods", index, DROPOUT), message
        if "grid" in kinds:
            yield ("search", "algorithm"), "optuna takes choice, uniform and loguniform spaces, not grid"
        if any(name.startswith("training.") and name.endswith(".epochs") for name in method.spaces):
            yield ("training", "epochs"), "optuna cannot search epochs; search steps instead"
        if kinds == {"choice"}:
            yield ("search", "algorithm"), f"all spaces of {method.label!r} are choices; use grid search for them"
