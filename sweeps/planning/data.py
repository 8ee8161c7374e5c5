"""The data of a sweep, and the mistakes in a sweep file that only its data can show."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dn_distributed import random_weights
from dn_distributed.config import Cell
from dn_distributed.data import Data, DataError, Raw
from dn_distributed.errors import ArgumentError, NoLayersError, UnusedLayersError
from dn_distributed.regularizers import expand_shorthand
from dn_distributed.tasks import Task
from dn_distributed.tasks.label_checks import check_inputs, check_labels, check_numbers
from dn_distributed.tasks.network import Network
from dn_distributed.text import first_line, with_class
from sweeps.console import notify
from sweeps.errors import SpecError
from sweeps.planning.data_dir import resolve_data_dir
from sweeps.spec.load import with_task
from sweeps.spec.spaces import Space, examples
from sweeps.spec.sweep import Method, Sweep
from sweeps.spec.yaml_file import KeyPath
from tracking.store.cell_params import check_storable
from tracking.store.names import check_layer, check_scores

_LENGTHS = ("epochs", "steps", "batch_size", "warmup_steps", "every", "until", "rounds", "rewind_to")
"""Keys of a phase by which it may be too short for what it is to do."""
_MOST_LENGTHS = 1000
_NOT_REHEARSED = ("epochs", "steps", "warmup_steps", "learning_rate", "learning_rate_decay", "momentum", "weight_decay")
"""Keys of a phase whose sizes make no difference to a step."""


def load_data(sweep: Sweep, data_dir: Path | None, *, download: bool = True) -> Data:
    """Return the data of a sweep whose task needs none to be known: see ``fit_to_data``."""
    return fit_to_data(sweep, data_dir, download=download)[1]


def fit_to_data(sweep: Sweep, data_dir: Path | None, *, download: bool = True) -> tuple[Sweep, Data]:
    """Return a sweep with the shapes that its data have, and the data.

    SpecError if they cannot be had or do not fit the sweep, DataError without the folder. Without ``download`` nothing
    is fetched and nothing written: what is not there is an error.
    """
    place = resolve_data_dir(data_dir)
    try:
        folder = sweep.dataset.located_in(place, sweep.path.absolute().parent)
        if not download:
            sweep.dataset.check_present(folder)
        raw = sweep.dataset.load(folder)
        task = _fitted_task(sweep, raw)
        data = task.data(sweep.dataset, raw)
        check_inputs(sweep.dataset.name, data)
        check_numbers(task, sweep.dataset.name, data)
        check_labels(task, data)
    except (DataError, ValueError) as error:
        raise sweep.places.error(("dataset",), f"{error}{_also_looked_in(sweep, error)}") from error
    except (OSError, RuntimeError, LookupError, TypeError) as error:  # of a dataset of the user's own
        raise sweep.places.error(("dataset",), with_class(error)) from error
    if task != sweep.task:
        sweep = with_task(sweep, task)
    _check_names(sweep)
    _check_batches(sweep, data)
    for method in sweep.methods:
        _check_storable(sweep, method, data)
    _check_phases(sweep, data)
    _rehearse(sweep, data)
    return sweep, data


def _also_looked_in(sweep: Sweep, error: Exception) -> str:
    """Where a file that is not there would have been found too."""
    if not sweep.dataset.finds_beside or not isinstance(error.__cause__, FileNotFoundError):
        return ""
    return f" (a relative path is looked for in {sweep.path.absolute().parent} first, beside the sweep file)"


def _fitted_task(sweep: Sweep, raw: Raw) -> Task:
    try:
        return sweep.task.fitted_to(sweep.dataset, raw)
    except (DataError, ArgumentError) as error:
        raise sweep.places.error(("task",), str(error)) from error
    except (RuntimeError, MemoryError) as error:  # a network that is too large
        message = f"the network cannot be built: {type(error).__name__}: {first_line(error)}"
        raise sweep.places.error(("task",), message) from error


def _check_names(sweep: Sweep) -> None:
    """SpecError where results could not be stored under the names of layers and scores."""
    try:
        for layer in sweep.task.layers:
            check_layer(layer)
        check_scores([score.name for score in sweep.task.scores])
    except ValueError as error:
        raise sweep.places.error(("task",), str(error)) from error


def _rehearse(sweep: Sweep, data: Data) -> None:
    """SpecError where the network or a penalty could not be trained, or would silently be another; note what it cannot.

    What is shipped is known to train, in the form that the paper has.
    """
    to_try = ("augment", "distill", "drop", "fixed_structure", "prune", "rewire")
    with_more = any(phase.get(key) not in (None, False) for phase in sweep.phases for key in to_try)
    regularizers = {part for method in sweep.methods for key in method.keys for part in expand_shorthand(key)}
    noisy = not regularizers.isdisjoint(random_weights.COEFFICIENTS)
    if not with_more and not noisy and not sweep.code and sweep.task == type(sweep.task)(name=sweep.task.name):
        return
    from dn_distributed.training.no_weight_left import layers_without_weights
    from dn_distributed.training.rehearsal import check_penalty, rehearse

    notes: list[str] = []
    try:
        for name in sweep.penalties:
            with _reported_at(sweep, ("task",)):
                check_penalty(name)
        for keys, cell in _to_rehearse(sweep, data):
            with _reported_at(sweep, keys):
                try:
                    proximal = cell.step == "proximal"
                    notes += rehearse(sweep.task, cell.regularization, cell.phases, data, proximal=proximal)
                except Exception:
                    if keys[0] == "methods":
                        with _reported_at(sweep, ("task",)):  # where it cannot be trained without the method either
                            rehearse(sweep.task, {}, cell.phases, data)
                    raise
        for cell in _cells_of_examples(sweep, data):
            with _reported_at(sweep, ("task",)):
                notes += layers_without_weights(sweep.task, cell.phases)
    except MemoryError:
        return  # here; where packs run there may be more
    for note in dict.fromkeys(notes):
        notify(f"{sweep.name}: {note}")


@contextmanager
def _reported_at(sweep: Sweep, keys: KeyPath) -> Iterator[None]:
    """SpecError at a key of the file for whatever code of the user's own raises."""
    try:
        yield
    except (MemoryError, SpecError):
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else with_class(error)
        reason += _cure(sweep.task, error)
        raise sweep.places.error(keys, f"{sweep.task.name!r} cannot be trained: {reason}") from error


def _cure(task: Task, error: Exception) -> str:
    """What to write where the layers that penalties are to act on are none that can be."""
    if not isinstance(task, Network):
        return ""
    filters = "filters: true" if isinstance(error, NoLayersError) and not task.filters else ""
    named = "penalized: [NAME, …]" if isinstance(error, NoLayersError | UnusedLayersError) else ""
    options = [f"task: {{name: network, architecture: …, {option}}}" for option in (filters, named) if option]
    return f"; say which layers are meant: {' or '.join(options)}" if options else ""


def _cells_of_examples(sweep: Sweep, data: Data) -> Iterator[Cell]:
    """Cells with every value of each grid, and the ends of ranges."""
    for method in sweep.methods:
        of_phases = {name: space for name, space in method.spaces.items() if "." in name}
        first = {name: space.values[0] for name, space in method.spaces.items()}
        for values in examples(of_phases):
            cell = sweep.cell(method, {**first, **values}, data.digest, data.num_train)
            if cell.baseline is None:
                yield cell


def _to_rehearse(sweep: Sweep, data: Data) -> list[tuple[KeyPath, Cell]]:
    """One cell for each combination of regularisers, whose sizes make no difference, and the ends of what is searched.

    Phases are the same for all methods: their values are tried with the first one. With each stands the key of the
    file that would be at fault.
    """
    found: dict[object, tuple[KeyPath, Cell]] = {}
    for index, method in enumerate(sweep.methods):
        if method.baseline is not None:
            continue
        for name, values in _one_at_a_time(method.spaces):
            cell = sweep.cell(method, values, data.digest, data.num_train)
            if not name.startswith("training."):
                keys: KeyPath = ("methods", index, *([name] if name else []))
                found.setdefault((cell.step, *cell.regularization), (keys, cell))
            elif name.rpartition(".")[2] not in _NOT_REHEARSED:
                keys = tuple(int(part) if part.isdecimal() else part for part in name.split("."))
                found.setdefault((name, values[name]), (keys, cell))
    return list(found.values())


def _one_at_a_time(spaces: Mapping[str, Space]) -> Iterator[tuple[str, dict[str, float]]]:
    """The first value of each space, and then one space after the other at its least and its largest, by its name."""
    first = {name: space.values[0] for name, space in spaces.items()}
    yield "", first
    for name, space in spaces.items():
        for value in {min(space.values), max(space.values)} - {space.values[0]}:
            yield name, {**first, name: value}


def _check_batches(sweep: Sweep, data: Data) -> None:
    """SpecError where there is not one batch in an epoch: with a search, for any value that it may try."""
    for number, phase in enumerate(sweep.phases):
        where = ("training", "batch_size") if len(sweep.phases) == 1 else ("training", number, "batch_size")
        given = phase["batch_size"]
        for value in given.values if isinstance(given, Space) else (given,):
            if value > data.num_train:
                raise sweep.places.error(where, f"{value:g} exceeds the {data.num_train} training samples")


def _check_phases(sweep: Sweep, data: Data) -> None:
    """SpecError where a phase is too short, or phases do not go together, with any values of search spaces."""
    method = next((method for method in sweep.methods if method.baseline is None), None)
    if method is None:
        return
    from dn_distributed.training.phases import phases_of

    lengths = {name: space.values for name, space in method.spaces.items() if name.rpartition(".")[2] in _LENGTHS}
    first = {name: space.values[0] for name, space in method.spaces.items()}
    for values in itertools.islice(itertools.product(*lengths.values()), _MOST_LENGTHS):
        assignment = {**first, **dict(zip(lengths, values, strict=True))}
        try:
            phases_of(sweep.cell(method, assignment, data.digest, data.num_train).phases, data.num_train)
        except ValueError as error:
            raise sweep.places.error(("training",), str(error)) from error


def _check_storable(sweep: Sweep, method: Method, data: Data) -> None:
    """SpecError where the store would cut what it keeps of a method's cells."""
    for assignment in sweep.enumerated(method)[:1]:
        try:
            check_storable(sweep.cell(method, assignment, data.digest, data.num_train))
        except ValueError as error:
            raise sweep.places.error(("methods",), f"{method.label!r}: {error}") from error
