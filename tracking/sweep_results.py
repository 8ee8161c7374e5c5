"""The results of one sweep as one object: its rows, its cells, its table, and a data frame of them.

It stands above the wings, for it knows the tables, which ``results`` must not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dn_distributed.registry import import_own
from dn_distributed.text import counted
from tracking.errors import StoreError
from tracking.manifest import Manifest
from tracking.results import cells, rows, rows_file
from tracking.results.cells import CellResult, MethodResult
from tracking.results.frame import as_frame
from tracking.results.rows import Row, Snapshot
from tracking.store import access, runs
from tracking.store import location as locations
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore
from tracking.tables import formats, grids
from tracking.tables import table as tables
from tracking.tables.grids import Grid
from tracking.tables.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Group
    from torch import nn


@dataclass(frozen=True, repr=False)
class Results:
    """What is known of a sweep. A replicate that is missing is missing here too: nothing is averaged around it."""

    manifest: Manifest
    """What the sweep compares."""
    snapshot: Snapshot
    """What the store held of it when it was read."""

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.manifest.name

    @cached_property
    def methods(self) -> tuple[MethodResult, ...]:
        """Per method of the sweep, in its order: the cells that were tried, and the one that stands for it."""
        return cells.gather(self.manifest, self.snapshot)

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """Every cell of every method, each with its replicates."""
        return tuple(result for method in self.methods for result in method.tried)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The finished replicates that the sweep asks for, by method, cell and seed."""
        return tuple(row for result in self.cells for row in result.rows)

    @property
    def complete(self) -> bool:
        """Whether every replicate that the sweep asks for is finished, those that a search has still to propose too."""
        return len(self.rows) == self._num_expected

    @property
    def _num_expected(self) -> int:
        to_propose = sum(method.to_propose for method in self.manifest.methods) * len(self.manifest.seeds)
        return sum(result.num_expected for result in self.cells) + to_propose

    @cached_property
    def table(self) -> Table:
        """The comparison of the methods, as numbers: mean and deviation over seeds beside the published figures."""
        return tables.build(self.manifest, self.methods)

    @cached_property
    def _grid(self) -> Grid:
        return grids.of_table(self.table)

    def to_frame(self) -> "DataFrame":
        """Return a pandas DataFrame, one line per replicate that the sweep asks for: see ``results.frame``."""
        return as_frame(self.methods, self.manifest)

    def to_markdown(self) -> str:
        """Return the table as Markdown, quantities down and methods across."""
        return formats.markdown(self._grid)

    def to_csv(self) -> str:
        """Return the table as CSV, one line per method and quantity, at full precision."""
        return formats.as_csv(self.table)

    def to_latex(self) -> str:
        """Return the table as a LaTeX ``tabular``, which needs booktabs."""
        return formats.latex(self._grid)

    def __repr__(self) -> str:
        """Return the sweep's name and how much of it is there."""
        methods = counted(len(self.methods), "method")
        return f"Results({self.name!r}: {len(self.rows)} of {self._num_expected} replicates, {methods})"

    def __rich__(self) -> "Group":
        """Return the table as a terminal shows it."""
        return formats.terminal(grids.of_table(self.table.for_page))

    def _repr_html_(self) -> str:
        """Return the table as a notebook shows it."""
        return formats.as_html(grids.of_table(self.table.for_page))


def locate_store(where: str | Path | None = None) -> StoreLocation:
    """Return where the store is, or is to be made: an address (``http://HOST:PORT``, ``sqlite:///PATH``), or a folder.

    Without either it is that of DN_TRACKING_URI, else ``./dn-store``. StoreError where a server does not answer.
    """
    if where is None or "://" in str(where) or str(where).startswith("sqlite:"):
        location = locations.locate(None if where is None else str(where))
    else:
        location = locations.locate(folder=Path(where).expanduser())
    access.check_answers(location)
    return location


def open_store(where: str | Path | None = None) -> StoreLocation:
    """Return the store at an address or in a folder, as ``locate_store`` takes it. StoreError where there is none."""
    location = locate_store(where)
    access.check_exists(location)
    return location


def load_results(name: str, store: StoreLocation | str | Path | None = None) -> Results:
    """Return the results of the sweep ``name`` as the store has them now. ``store``: as ``open_store`` takes it.

    StoreError where the store does not hold the sweep; it names those that there are.
    """
    location = store if isinstance(store, StoreLocation) else open_store(store)
    return read_results(SweepStore.find(location, name))


def read_results(sweep: SweepStore) -> Results:
    """Return the results of a sweep that was found in its store."""
    _, manifest = runs.read_manifest(sweep)
    return Results(manifest, rows.read(sweep))


def load_network(
    replicate: str | Row, store: StoreLocation | str | Path | None = None, *, imports: str | Sequence[str] = ()
) -> "nn.Module":
    """Return the trained network of a finished replicate, pruned at its sweep's threshold, in evaluation mode.

    ``replicate``: a row of ``load_results``, the id of its MLflow run or its key, or the beginning of either.
    ``store``: as ``open_store`` takes it. ``imports``: modules that have what is your own, a task or the function that
    makes its network. StoreError where there is no such replicate, or it has no network that can be read; DataError
    where its task is one's own and not registered.
    """
    import_own(imports)
    from tracking.results.networks import find_network

    location = store if isinstance(store, StoreLocation) else open_store(store)
    if isinstance(replicate, Row) and not replicate.run_id:
        raise StoreError("a row of a file has no run, and no weights: take it from load_results")
    return find_network(location, replicate.run_id if isinstance(replicate, Row) else replicate).load()


def load_rows(path: str | Path) -> Results:
    """Return the results that a report has written to ``rows.json``. StoreError where the file is none of a report."""
    shipped = rows_file.load(Path(path))
    return Results(shipped.manifest, shipped.snapshot)
