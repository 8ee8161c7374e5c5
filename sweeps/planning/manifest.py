"""What the store remembers of a planned sweep: its manifest."""

from collections.abc import Mapping
from typing import Any

from dn_distributed.scores import SCORES
from sweeps.planning.plan import Plan
from sweeps.spec.spaces import Space
from sweeps.spec.sweep import Sweep
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
    if sweep.dataset.name != sweep.task.default_dataset:
        found.append(f"dataset {sweep.dataset.name} (paper: {sweep.task.default_dataset})")
    return tuple(found)


def _length(training: Mapping[str, Any]) -> str:
    epochs, steps = training["epochs"], training["steps"]
    if isinstance(epochs, Space) or isinstance(steps, Space):
        return "a length that is searched"
    return f"{epochs} epochs" if epochs else f"{steps} steps"
