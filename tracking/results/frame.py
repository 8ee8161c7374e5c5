"""The replicates of a sweep as a pandas DataFrame, for an analysis of one's own."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dn_distributed.score_names import STAGES, final
from tracking.manifest import Manifest
from tracking.results.cells import MethodResult
from tracking.results.rows import Ended, Row
from tracking.store.cell_params import settings_of

if TYPE_CHECKING:  # half a second, which only a caller of ``as_frame`` waits for
    from pandas import DataFrame

_STATE = ("method", "cell_key", "seed", "state", "reason", "chosen", "run_id")
_COUNTS = (
    "num_weights", "num_nonzero", "density", "compression_rate", "neurons_published", "neurons_alive", "hidden_alive",
    "dense_size", "dense_compression",
)  # fmt: skip


def as_frame(methods: Sequence[MethodResult], manifest: Manifest) -> "DataFrame":
    """Return one line per replicate that the sweep asks for, by method, cell and seed.

    Columns: ``method``, ``cell_key``, ``seed``; ``state`` (finished, failed, stopped or missing), ``reason``,
    ``chosen`` (whether its cell stands for the method) and ``run_id`` (of MLflow, where it is finished); the cell's
    settings; the final metrics; the counts. What is not there is NaN, and pandas leaves NaN out of a mean unless told
    ``skipna=False``: the table never does.
    """
    import pandas as pd

    lines = list(_lines(methods, manifest.seeds))
    # An analysis finds its columns before the first replicate is finished.
    always = [
        *_STATE,
        *(final("test", score, stage) for score in (manifest.score, *manifest.other_scores) for stage in STAGES),
        *_COUNTS,
    ]
    return pd.DataFrame(lines, columns=list(dict.fromkeys([*(name for line in lines for name in line), *always])))


def _lines(methods: Sequence[MethodResult], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    for method in methods:
        for result in method.tried:
            settings, chosen = settings_of(result.cell), result is method.chosen
            rows = {row.seed: row for row in result.rows}
            ended = {item.seed: item for item in result.ended}
            for seed in seeds:
                identity = {"method": method.label, "cell_key": result.cell.key, "seed": seed}
                state = _state(rows.get(seed), ended.get(seed))
                run_id = rows[seed].run_id if seed in rows else ""
                yield {**identity, **state, "chosen": chosen, "run_id": run_id, **settings, **_figures(rows.get(seed))}


def _state(row: Row | None, ended: Ended | None) -> dict[str, str]:
    if row is None and ended is not None:
        return {"state": ended.state, "reason": ended.reason}
    return {"state": "missing" if row is None else "finished", "reason": ""}


def _figures(row: Row | None) -> dict[str, float]:
    counts = {name: None if row is None else getattr(row.counts, name) for name in _COUNTS}
    known = {name: math.nan if value is None else value for name, value in counts.items()}
    return known if row is None else {**row.metrics, **known}
