"""The search algorithms: Optuna, which begins from the configurations that the store holds already, and ASHA."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dn_distributed.config import Cell
from dn_distributed.data import Data
from sweeps.spec.file import Search
from sweeps.spec.sweep import Method, Sweep
from tracking.results.cells import CellResult

_NO_LAST_RUNG = 1_000_000


def known_rewards(
    tried: Iterable[CellResult], objective: str, assignment: Callable[[Cell], dict[str, Any] | None]
) -> tuple[list[dict[str, Any]], list[float]]:
    """Return the values of the search space that were tried to the end, and the mean objective of each.

    Left out: cells without a finite value of every seed, for a mean over some of them is another quantity.
    ``assignment``: of a cell, None where the search could not propose it.
    """
    points, rewards = [], []
    for result in tried:
        values, found = assignment(result.cell), [row.metrics.get(objective) for row in result.rows]
        finite = [value for value in found if value is not None and math.isfinite(value)]
        if values is not None and result.complete and finite and len(finite) == len(found):
            points.append(values)
            rewards.append(statistics.fmean(finite))
    return points, rewards


def optuna_search(sweep: Sweep, method: Method, data: Data, tried: Sequence[CellResult]) -> Any:
    """Return Optuna's sampler of a method's spaces, with the cells that were tried and their results."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search, selection = sweep.search, sweep.selection
    assert search is not None
    assert selection is not None
    points, rewards = known_rewards(
        tried, selection.objective, lambda cell: sweep.assignment_of(method, cell, data.digest, data.num_train)
    )
    return OptunaSearch(
        space={name: space.domain() for name, space in method.spaces.items()},
        metric="objective",
        mode="max" if selection.higher_is_better else "min",
        seed=search.seed + len(tried),  # a search that goes on must not draw the same again
        points_to_evaluate=points or None,
        evaluated_rewards=rewards or None,
    )


def scheduler_of(search: Search | None) -> Any:
    """Return Tune's scheduler, which ends configurations early; None where all run to their end."""
    from ray.tune.schedulers import ASHAScheduler

    if search is None or search.scheduler == "none":
        return None
    return ASHAScheduler(
        time_attr="epoch",
        max_t=_NO_LAST_RUNG,
        grace_period=search.grace_epochs,
        reduction_factor=search.reduction_factor,
    )
