"""The search algorithms: planned packs, Optuna, which begins from what the store holds already, and ASHA."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dn_distributed.config import Cell
from dn_distributed.data import Data
from sweeps.planning.plan import Pack
from sweeps.spec.file import Search
from sweeps.spec.sweep import Method, Sweep
from sweeps.tune import pack_config
from tracking.results.cells import CellResult

_NO_LAST_RUNG = 1_000_000


OBJECTIVE, SIZE = "objective", "size"
"""What a pack reports at its end: means over its seeds."""
_STUDY = "sweep"


def known_rewards(
    tried: Iterable[CellResult],
    objective: str,
    assignment: Callable[[Cell], dict[str, Any] | None],
    size: str | None = None,
) -> tuple[list[dict[str, Any]], list[list[float]]]:
    """Return the values of the search space that were tried to the end, and of each the mean objective, and mean size.

    Left out: cells without a finite value of every seed, for a mean over some of them is another quantity.
    ``assignment``: of a cell, None where the search could not propose it.
    """
    points, rewards = [], []
    for result in tried:
        values, found = assignment(result.cell), [row.metrics.get(objective) for row in result.rows]
        finite = [value for value in found if value is not None and math.isfinite(value)]
        if values is not None and result.complete and finite and len(finite) == len(found):
            sizes = [] if size is None else [statistics.fmean(getattr(row.counts, size) for row in result.rows)]
            points.append(values)
            rewards.append([statistics.fmean(finite), *sizes])
    return points, rewards


def pack_list(packs: Sequence[Pack]) -> Any:
    """Return what hands out packs that are planned: a trial is made of the next one when Tune has room for it.

    Of a grid Tune makes all trials before the first one begins, and copies the whole grid for each of them.
    """
    from ray.tune.search.basic_variant import BasicVariantGenerator

    return BasicVariantGenerator(points_to_evaluate=[{pack_config.PACK: pack_config.to_text(pack)} for pack in packs])


def optuna_search(sweep: Sweep, method: Method, data: Data, tried: Sequence[CellResult]) -> Any:
    """Return Optuna's sampler of a method's spaces, with the cells that were tried and their results."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search, selection = sweep.search, sweep.selection
    assert search is not None
    assert selection is not None
    metrics, modes = [OBJECTIVE], ["max" if selection.higher_is_better else "min"]
    if search.size is not None:
        metrics, modes = [*metrics, SIZE], [*modes, "min"]
    space = OptunaSearch.convert_search_space({name: space.domain() for name, space in method.spaces.items()})
    points, rewards = known_rewards(
        tried,
        selection.objective,
        lambda cell: sweep.assignment_of(method, cell, data.digest, data.num_train),
        search.size,
    )
    storage = optuna.storages.InMemoryStorage()  # Tune hands a study's past on with one objective only
    study = optuna.create_study(
        storage=storage, study_name=_STUDY, directions=["maximize" if mode == "max" else "minimize" for mode in modes]
    )
    for point, reward in zip(points, rewards, strict=True):
        study.add_trial(optuna.trial.create_trial(params=point, distributions=space, values=reward))
    return OptunaSearch(
        space=space,
        metric=metrics if len(metrics) > 1 else OBJECTIVE,
        mode=modes if len(modes) > 1 else modes[0],
        seed=search.seed + len(tried),  # a search that goes on must not draw the same again
        storage=storage,
        study_name=_STUDY,
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
