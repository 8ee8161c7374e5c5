"""Means of a cell's replicates, as its run carries them: of the final figures, and of every epoch."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mlflow.entities import Metric

from dn_distributed import score_names
from dn_distributed.config import Cell
from tracking import schema
from tracking.results.cells import deviation
from tracking.results.rows import Row, by_epoch, read, read_histories
from tracking.store.cell_runs import attach_replicates, cell_records, create_cell, ensure_cell
from tracking.store.run_writer import Ending, now
from tracking.store.runs import one_per_cell
from tracking.store.sweep_store import SweepStore

_WHOLE = 1000


def summarize_cell(sweep: SweepStore, cell: Cell, label: str, rows: Sequence[Row], score: str = "") -> None:
    """Write mean, standard deviation and n of a cell's finished replicates to its run, per epoch too.

    ``score``: of the sweep, by name; what MLflow's UI shows first is rounded means of it and of what is left.

    A cell run that already carries the means of fewer seeds, or some of the means because the writing of them was
    cut short, is replaced, so that no curve is drawn twice. In the end there is one run of the cell, with its
    replicates under it, wherever an earlier command was killed on the way there.
    """
    where, seeds = {schema.CELL_KEY: cell.key}, schema.seed_list(row.seed for row in rows)
    ensure_cell(sweep, cell, label)
    found = cell_records(sweep, where, metrics=True)
    counted = one_per_cell(found)[cell.key]
    run_id = counted.run_id
    if rows and counted.tags.get(schema.SUMMARIZED) != seeds:
        if counted.metrics:
            run_id = create_cell(sweep, cell, label)
        figures = [*_mean_curves(sweep, rows), *_final_summary(rows), *_rounded(rows, score)]
        sweep.writer.end(run_id, Ending("FINISHED", figures, {schema.SUMMARIZED: seeds}))
    attach_replicates(sweep, {cell.key: run_id}, where)
    for record in found:
        if record.run_id != run_id:
            sweep.client.delete_run(record.run_id)


def summarize_rest(sweep: SweepStore, cells: Iterable[tuple[Cell, str]], seeds: Iterable[int], score: str = "") -> None:
    """Summarize those of ``cells`` (each with its label) that have not one run with the means of all that is stored."""
    rows: dict[str, list[Row]] = {}
    wanted = set(seeds)
    for row in read(sweep).rows:
        if row.seed in wanted:
            rows.setdefault(row.cell_key, []).append(row)
    cell_runs = cell_records(sweep)
    done = {key: record.tags.get(schema.SUMMARIZED, "") for key, record in one_per_cell(cell_runs).items()}
    num_runs = Counter(record.tags[schema.CELL_KEY] for record in cell_runs)
    for cell, label in cells:
        found = rows.get(cell.key, [])
        if num_runs[cell.key] > 1 or done.get(cell.key, "") != schema.seed_list(row.seed for row in found):
            summarize_cell(sweep, cell, label, found, score)


def _final_summary(rows: Sequence[Row]) -> list[Metric]:
    """Means and deviations of the final figures that every row has; a curve's last mean is with its curve."""
    time = now()
    step = int(max(row.metrics.get(schema.EPOCH, 0) for row in rows))
    summary = [Metric("n", float(len(rows)), time, step)]
    for name in sorted(set.intersection(*(set(row.metrics) for row in rows)) - {schema.EPOCH}):
        values = [row.metrics[name] for row in rows]
        if not schema.is_curve(name):
            summary.append(Metric(name, statistics.fmean(values), time, step))
        if (std := deviation(values)) is not None:
            summary.append(Metric(schema.deviation(name), std, time, step))
    return summary


def _rounded(rows: Sequence[Row], score: str) -> Iterator[Metric]:
    """Means for the eye. No reader takes them for data."""
    time = now()
    step = int(max(row.metrics.get(schema.EPOCH, 0) for row in rows))
    name, factor = score_names.final("test", score), 100 if score == "accuracy" else 1
    scores = [factor * row.metrics[name] for row in rows if name in row.metrics]
    if len(scores) == len(rows):
        yield Metric(schema.ROUNDED_SCORE, _short(statistics.fmean(scores)), time, step)
        if (std := deviation(scores)) is not None:
            yield Metric(schema.deviation(schema.ROUNDED_SCORE), float(f"{std:.2g}"), time, step)
    left = statistics.fmean(100 * row.counts.density for row in rows)
    yield Metric(schema.ROUNDED_WEIGHTS, _short(left), time, step)
    yield Metric(schema.ROUNDED_NEURONS, _short(statistics.fmean(row.counts.neurons_alive for row in rows)), time, step)


def _short(value: float) -> float:
    """Four digits; of 1000 and more the whole number."""
    return float(f"{value:.4g}" if abs(value) < _WHOLE else f"{value:.0f}")


def _mean_curves(sweep: SweepStore, rows: Sequence[Row]) -> Iterator[Metric]:
    """Means per epoch over the replicates that reached it."""
    histories = read_histories(sweep.location, [row.run_id for row in rows])
    for name in sorted({name for history in histories for name in history}):
        time = now()
        for epoch, values in sorted(by_epoch(histories, name).items()):
            yield Metric(name, statistics.fmean(values), time, epoch)
