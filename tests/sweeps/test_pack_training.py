"""What a pack reports as it trains. Without Ray, and without a training."""

from types import SimpleNamespace
from typing import Any

import pytest

from dn_distributed.training import EpochReport
from sweeps.tune.pack_training import PackTraining


@pytest.mark.parametrize("reports", [[EpochReport(0, 0, {})], []], ids=["of its last epoch", "none, at the last step"])
def test_a_training_that_ends_within_a_second_is_told_by_its_last_report(
    monkeypatch: pytest.MonkeyPatch, reports: list[EpochReport]
) -> None:
    training: Any = object.__new__(PackTraining)
    training.runs, training._reports = [], iter(reports)
    training._context = SimpleNamespace(every_epoch=False)
    training.trainer = SimpleNamespace(diverged=list, seeds=[0], finished=True)
    monkeypatch.setattr(PackTraining, "_finish", lambda *arguments: arguments[2])
    assert training.advance() is (reports[-1] if reports else None)
