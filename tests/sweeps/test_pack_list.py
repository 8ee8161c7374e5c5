"""How planned packs are handed to Tune: in their order, each once, and with work that grows as their number."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Experiment
from ray.tune.registry import register_trainable

from sweeps.planning.plan import Pack
from sweeps.tune import pack_config
from sweeps.tune.search import pack_list
from tests.sweeps.test_plan import make


@pytest.fixture
def packs(tmp_path: Path) -> list[Pack]:
    cell = make(tmp_path).cells[0].cell
    return [Pack("P", cell, (seed,)) for seed in range(400)]


def listed(packs: list[Pack], folder: Path) -> Any:
    """What Tune asks for trials."""
    register_trainable("nothing", tune.Trainable)
    found = pack_list(packs)
    config = {pack_config.PACK: ""}
    found.add_configurations(
        [Experiment("packs", "nothing", config=config, num_samples=len(packs), storage_path=str(folder))]
    )
    return found


def calls(work: Callable[[], object]) -> int:
    """How many functions of Python are called."""
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


def test_each_pack_is_a_trial_in_the_order_of_the_plan(packs: list[Pack], tmp_path: Path) -> None:
    found = listed(packs[:3], tmp_path)
    texts = [found.next_trial().config[pack_config.PACK] for _ in range(3)]
    assert texts == list(map(pack_config.to_text, packs[:3]))
    assert found.next_trial() is None
    assert found.is_finished()
    assert found.total_samples == 3


def test_work_before_the_first_trial_grows_as_the_number_of_packs(packs: list[Pack], tmp_path: Path) -> None:
    few = calls(lambda: listed(packs[:100], tmp_path).next_trial())
    many = calls(lambda: listed(packs, tmp_path).next_trial())
    assert many < 5 * few  # four times as many packs; of a grid it was eight times
