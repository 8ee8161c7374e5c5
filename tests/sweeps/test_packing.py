"""The size of packs: what finishes soonest, of what fits."""

import pytest

from dn_distributed.tasks import TASKS
from sweeps.planning.packing import PackCost, Sample, best_size, cost_of, split_evenly

MIB = 2**20


def of_task(name: str) -> PackCost:
    return PackCost.of_task(TASKS[name](name=name))


def test_packs_of_dear_replicates_are_split_to_keep_both_cores_busy() -> None:
    cost = of_task("autoencoder")
    assert [len(part) for part in split_evenly(range(10), best_size([10, 10, 10], 2, cost))] == [5, 5]
    assert best_size([10, 10], 2, cost) == 10


def test_packs_whose_steps_cost_the_same_at_any_size_stay_whole() -> None:
    assert best_size([10, 10, 10], 2, of_task("regression")) == 10


def test_convolutions_run_one_by_one_on_a_cpu() -> None:
    assert best_size([10], 2, of_task("lenet5")) == 1


def test_a_pack_costs_a_straight_line_between_two_measured_sizes() -> None:
    cost = PackCost({1: 1.0, 2: 2.0, 4: 8.0}, largest=4)
    assert [cost.step(size) for size in (1, 2, 3, 4)] == [1, 2, 5, 8]


def samples(*measured: tuple[int, float, int]) -> list[Sample]:
    return [Sample(size, seconds, memory * MIB) for size, seconds, memory in measured]


def test_as_many_as_fit_are_packed() -> None:
    measured = samples((1, 1.0, 100), (2, 1.1, 150), (4, 1.2, 250), (8, 1.3, 450))
    assert cost_of(measured, memory=1000 * MIB).largest == 8
    assert cost_of(measured, memory=375 * MIB).largest == 5  # 80 % of it: 100 and four times 50
    assert best_size([10], 1, cost_of(measured, memory=375 * MIB)) == 5


def test_one_is_packed_where_not_even_one_should_fit() -> None:
    assert cost_of(samples((1, 1.0, 100)), memory=10 * MIB).largest == 1


def test_sizes_that_do_not_pay_are_not_taken() -> None:
    measured = samples((1, 1.0, 100), (2, 1.1, 150), (4, 9.0, 250))
    size = best_size([4], 1, cost_of(measured, memory=10_000 * MIB))
    assert [len(part) for part in split_evenly(range(4), size)] == [2, 2]


@pytest.mark.parametrize(("count", "size", "lengths"), [(10, 10, [10]), (10, 4, [3, 4, 3]), (1, 5, [1]), (0, 3, [])])
def test_parts_are_as_equal_as_they_can_be(count: int, size: int, lengths: list[int]) -> None:
    assert [len(part) for part in split_evenly(range(count), size)] == lengths


def test_parts_hold_every_seed_once_and_in_order() -> None:
    assert [seed for part in split_evenly(range(23), 5) for seed in part] == list(range(23))
