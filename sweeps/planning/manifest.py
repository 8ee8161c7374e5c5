"""What the store remembers of a planned sweep: its manifest."""

import itertools
from collections.abc import Mapping
from typing import Any

from dn_distributed import regularizers
from dn_distributed.data import DATASETS
from dn_distributed.scores import SCORES
from sweeps.planning.plan import Plan
from sweeps.spec.spaces import Space
from sweeps.spec.sweep import Method, Sweep
from tracking import published_rows
from tracking.manifest import Manifest, ManifestMethod


def manifest_of(plan: Plan) -> Manifest:
    """Return what the store remembers of the sweep."""
    sweep = plan.sweep
    score = sweep.task.scores[0]
    return Manifest(
        name=sweep.name,
        task=sweep.task.name,
        dataset=sweep.dataset.name,
        score=score.name,
        score_higher_is_better=score.higher_is_better,
        other_scores=tuple(other.name for other in sweep.task.scores[1:]),
        nonnegative_scores=tuple(s.name for s in sweep.task.scores if s.is_nonnegative and s.name not in SCORES),
        seeds=sweep.seeds,
        methods=tuple(
            ManifestMethod(
                label=method.label,
                published=method.published,
                dropout_at_test=method.dropout_at_test,
                dropout_inert=method.dropout_inert,
                cells=tuple(cell.cell for cell in plan.cells if cell.method.label == method.label),
                to_propose=plan.lacking_samples.get(method.label, 0),
            )
            for method in sweep.methods
        ),
        selection=sweep.selection,
        deviations=_deviations(sweep),
        source=sweep.source,
        coverage=sweep.coverage,
    )


def _deviations(sweep: Sweep) -> tuple[str, ...]:
    """Where the sweep's settings differ from those the published figures were made with."""
    paper = {**dict(sweep.task.default_training), **dict(sweep.task.default_pruning)}
    phases = sweep.phases
    only = phases[0] if len(phases) == 1 else {}
    used = {**paper, **({"epochs": None, "steps": None} if only else {}), **only, **sweep.pruning}
    found = [
        f"{key} {used[key]} (paper: {paper[key]})"
        for key in paper
        if key not in ("epochs", "steps", "curve")  # a curve only measures
        and not isinstance(used[key], Space)
        and used[key] != paper[key]
    ]
    if len(phases) > 1:
        found.append(f"{len(phases)} phases of training (paper: one)")
    elif _length(used) != _length(paper):
        found.append(f"{_length(used)} (paper: {_length(paper)})")
    methods = (_method_deviations(sweep.task.name, method) for method in sweep.methods if method.published)
    return (*found, *_dataset_deviations(sweep), *itertools.chain(*methods))


def _dataset_deviations(sweep: Sweep) -> list[str]:
    if sweep.dataset.name != sweep.task.default_dataset:
        return [f"dataset {sweep.dataset.name} (paper: {sweep.task.default_dataset})"]
    paper = dict(DATASETS[sweep.dataset.name](name=sweep.dataset.name))
    return [f"{key} {value} (paper: {paper[key]})" for key, value in sweep.dataset if value != paper[key]]


def _method_deviations(task: str, method: Method) -> list[str]:
    """Where a method's coefficients, or its step, are not those of the row that stands beside it."""
    assert method.published is not None
    row = published_rows.row(task, method.published)
    paper = _each({"l1": float(row["l1"]), "dn": float(row["dn"]), "dropout": 1 - float(row["keep"])})
    used = _each({**dict.fromkeys(method.keys, "searched"), **method.coefficients})
    found = [
        f"{method.label}: {name} {used.get(name, 0.0)} (paper: {paper.get(name, 0.0):g})"
        for name in (*paper, *(key for key in used if key not in paper))
        if used.get(name, 0.0) != paper.get(name, 0.0)
    ]
    return found + [f"{method.label}: step {method.step} (paper: subgradient)"] * (method.step != "subgradient")


def _each(coefficients: Mapping[str, Any]) -> dict[str, Any]:
    """Coefficients with shorthands expanded."""
    return {name: value for key, value in coefficients.items() for name in regularizers.expand_shorthand(key)}


def _length(training: Mapping[str, Any]) -> str:
    epochs, steps = training["epochs"], training["steps"]
    if isinstance(epochs, Space) or isinstance(steps, Space):
        return "a length that is searched"
    return f"{epochs} epochs" if epochs else f"{steps} steps"
