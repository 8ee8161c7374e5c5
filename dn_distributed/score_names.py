"""The names of a replicate's figures, made and taken apart here alone.

After training a score is ``split/score/stage``, as ``test/accuracy/after_pruning``; at every epoch, and at other
thresholds, it is ``split/score``, as ``validation/accuracy``.
"""

from typing import Literal, NamedTuple

Split = Literal["validation", "test", "test_with_dropout"]
Stage = Literal["before_pruning", "after_pruning"]

TEST_WITH_DROPOUT: Literal["test_with_dropout"] = "test_with_dropout"
"""The test data with dropout left on, as two of the published scripts have it (a fault)."""
SPLITS: tuple[Literal["validation", "test"], ...] = ("validation", "test")
STAGES: tuple[Stage, ...] = ("before_pruning", "after_pruning")
TRAIN_LOSS = "train/loss"
"""The loss of an epoch's steps, without penalties."""


class FinalScore(NamedTuple):
    """The parts of a final score's name."""

    split: str
    score: str
    stage: str


def of_split(split: Split, score: str) -> str:
    """Return the name of a score at an epoch, or at one of several thresholds."""
    return f"{split}/{score}"


def at_threshold(score: str) -> tuple[str, str]:
    """Return the names of a score at one of several thresholds: on validation data, and on test data."""
    return of_split("validation", score), of_split("test", score)


def final(split: Split, score: str, stage: Stage = "after_pruning") -> str:
    """Return the name of a score of the trained network."""
    return f"{split}/{score}/{stage}"


def parse_final(name: str) -> FinalScore:
    """Return the parts of what ``final`` made. ValueError for any other name."""
    parts = name.split("/")
    if len(parts) != len(FinalScore._fields):
        raise ValueError(f"expected split/score/stage, not {name!r}")
    return FinalScore(*parts)


def final_objectives(scores: list[str]) -> list[str]:
    """Return the names of the validation scores that a search may optimise."""
    return [final("validation", score, stage) for score in scores for stage in STAGES]


def is_of_epoch(name: str) -> bool:
    """Return whether a loss or score is one that is logged at every epoch."""
    return name.startswith((TRAIN_LOSS, "validation/")) and not name.endswith(tuple(f"/{stage}" for stage in STAGES))


def with_dropout_at_test(metrics: dict[str, float]) -> dict[str, float]:
    """Return figures by name with the test scores that leave dropout on in place of those that do not."""
    prefix = f"{TEST_WITH_DROPOUT}/"
    kept = {name: value for name, value in metrics.items() if not name.startswith(prefix)}
    return kept | {f"test/{name.removeprefix(prefix)}": metrics[name] for name in metrics if name not in kept}
