"""Digests of the source of a user's own tasks, datasets and penalties: part of a replicate's identity.

Of a class that this project does not ship, the identity has the source of its module, of the modules of its base
classes, and of all that these import from the folder they lie in (from their own package, where that is installed),
without comments and blank lines; of a task, the names and shapes of its network's parameters too. It does not see
what is read or imported by a computed name at run time, other folders, and versions of installed packages.
"""

import ast
import hashlib
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from dn_distributed.chains import is_followed_chain, read_otherwise
from dn_distributed.data import Dataset
from dn_distributed.data.function import FromFunction
from dn_distributed.data.images import ImageDataset
from dn_distributed.errors import ArgumentError
from dn_distributed.layers import select
from dn_distributed.regularizers import PENALTIES
from dn_distributed.sparsity import why_no_chain
from dn_distributed.tasks import Task

TASK, DATASET = "task", "dataset"
"""What a digest is of; a penalty's stands under ``penalty_part``."""

SHIPPED = frozenset(
    f"dn_distributed.{name}"
    for name in (
        "config",
        *("data.base", "data.digits", "data.function", "data.images", "data.linear", "data.pictures", "data.samples"),
        "data.table",
        *("regularizers.base", "regularizers.dropneuron", "regularizers.l1", "regularizers.l2"),
        "regularizers.scripted_l2",
        *("tasks.autoencoder", "tasks.base", "tasks.convnet", "tasks.lenet300", "tasks.lenet5", "tasks.lenet5_caffe"),
        *("tasks.network", "tasks.regression"),
    )
)
"""Modules whose classes are known by name: ``config.RESULT_VERSION`` counts their changes. A module that a user adds
beside them is the user's own."""

_NO_CHAIN = "counted by what it needs"
"""Part of the digest of layers that are no chain and were taken for one: what is stored without it was counted so."""

_PROJECT = ("dn_distributed", "tracking", "sweeps")
_FOREIGN = sys.stdlib_module_names | {"numpy", "pydantic", "torch"}
_INSTALLED = {"site-packages", "dist-packages"}


class NetworkError(ArgumentError):
    """The network of a task cannot be identified, nor trained."""


def penalty_part(name: str) -> str:
    """Return the name under which the digest of a penalty stands."""
    return f"penalty {name}"


def digests(task: Task, dataset: Dataset, penalties: Iterable[str]) -> dict[str, str]:
    """Return by part a digest of each of these that is not shipped; ``penalties`` are names in ``PENALTIES``.

    ArgumentError where the source of one cannot be read.
    """
    found = {TASK: _of_task(task), DATASET: _of_dataset(dataset)}
    found |= {penalty_part(name): of_class(PENALTIES[name]) for name in penalties}
    return {part: digest for part, digest in found.items() if digest is not None}


def display_names(parts: Mapping[str, Any], task: str, dataset: str) -> dict[str, str]:
    """Return for each part of the user's own code the name that messages call it by."""
    return {part: {TASK: task, DATASET: dataset}.get(part) or part.removeprefix(penalty_part("")) for part in parts}


def is_of_task(digest: str, task: Task) -> bool:
    """Return whether a stored digest is of a task's code as it is here. ArgumentError where that cannot be read."""
    parts = _parts_of_task(task)
    return any(digest == _digest(known) for known in (parts, [part for part in parts if part != _NO_CHAIN]))


def _of_task(task: Task) -> str | None:
    parts = _parts_of_task(task)
    return _digest(parts) if parts else None


def _parts_of_task(task: Task) -> list[str]:
    """What a task's digest is of; nothing of a task that is shipped."""
    source = _of_function(task.network_source) if task.network_source is not None else of_class(type(task))
    if source is None:
        return []
    with torch.random.fork_rng(devices=[]):
        network = task.network()
        _check_sizes(network)
        counted_anew = _was_taken_for_a_chain(network, task.layers)
    shapes = [(name, tuple(parameter.shape)) for name, parameter in network.named_parameters()]
    return [source, repr(shapes), *[_NO_CHAIN] * counted_anew]


def _check_sizes(network: torch.nn.Module) -> None:
    """NetworkError where a layer has its sizes from the first batch only: replicates draw their weights before."""
    for name, part in network.named_modules():
        if any(map(is_lazy, (*part.parameters(recurse=False), *part.buffers(recurse=False)))):
            kind = type(part).__name__
            raise NetworkError(
                f"layer {name!r} is lazy ({kind}), and its weights cannot be drawn before training: give its sizes, as "
                f"{kind.removeprefix('Lazy')} takes them; a function with the parameters input_shape and num_outputs "
                "is given those of the data"
            )


def _was_taken_for_a_chain(network: torch.nn.Module, layers: Sequence[str]) -> bool:
    """Whether layers fit one another by their sizes alone, or their weights are read otherwise too.

    So long as sizes told, and nobody asked who reads weights, figures of such were wrong.
    """
    try:
        shapes = {name: tuple(layer.weight.shape) for name, layer in select(network, layers).items()}
    except ArgumentError:
        return False  # refused where it is trained
    if read_otherwise(network, layers):
        return True
    return len(layers) > 1 and not why_no_chain(shapes) and not is_followed_chain(network, layers)


def _of_dataset(dataset: Dataset) -> str | None:
    """None also for images that are hashed themselves: their source says no more than they do.

    Samples may come with the checksum of their files, which does not say what is made of these.
    """
    if isinstance(dataset, FromFunction):
        return _of_function(dataset.source)
    return None if type(dataset).digest is ImageDataset.digest else of_class(type(dataset))


@cache
def of_class(cls: type) -> str | None:
    """Return a digest of a class's source as it is when this is first asked, which is when it was imported.

    None where it is shipped; ArgumentError where there is no source.
    """
    own = [base for base in cls.__mro__ if _is_own(base)]
    if not own:
        return None
    files = {file for base in own for file in _files(base)}
    return _digest([cls.__qualname__, *sorted(map(_code, files))])


@cache
def _of_function(function: Any) -> str:
    return _digest([function.__qualname__, *sorted(map(_code, _files(function)))])


def _is_own(cls: type) -> bool:
    return cls.__module__ not in SHIPPED and cls.__module__.partition(".")[0] not in _FOREIGN


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256(repr(list(texts)).encode()).hexdigest()[:32]


def _files(cls: Any) -> set[Path]:
    """The source files that a class or a function is made by."""
    path = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if cls.__module__ == "__main__" or path is None or not path.endswith(".py") or not Path(path).is_file():
        raise ArgumentError(
            f"{cls.__name__} has no source file that could be part of a result's identity ({cls.__module__}): "
            "put it into a module of its own, and name that with --import"
        )
    first = Path(path).absolute()
    depth = cls.__module__.count(".") + (first.name == "__init__.py")
    root, package = first.parents[depth], cls.__module__.partition(".")[0]
    found, new = {first}, [first]
    while new:
        for file in _imported(new.pop(), root):
            top = file.relative_to(root).parts[0].removesuffix(".py")
            installed_elsewhere = bool(_INSTALLED & set(root.parts)) and top != package
            if file not in found and top not in _PROJECT and not installed_elsewhere:
                found.add(file)
                new.append(file)
    return found


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """The files below ``root`` that an import statement of ``file`` names, wherever it stands in it."""
    here = file.relative_to(root).parts[:-1]
    with tokenize.open(file) as source:
        tree = ast.parse(source.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            dotted = [(*module, alias.name) for alias in node.names]
        else:
            continue
        for parts in dotted:
            for end in range(1, len(parts) + 1):
                place = root.joinpath(*parts[:end])
                yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())


def _code(file: Path) -> str:
    """The text of a file without comments and blank lines, whatever its line endings."""
    with tokenize.open(file) as source:
        text = source.read()
    lines: list[str | None] = list(text.split("\n"))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        row, column = token.start
        line = lines[row - 1] if row <= len(lines) else None
        if token.type == tokenize.COMMENT and line is not None:
            lines[row - 1] = line[:column].rstrip()
        elif token.type == tokenize.NL and line is not None and not line.strip():
            lines[row - 1] = None
    return "\n".join(line for line in lines if line is not None).rstrip()
