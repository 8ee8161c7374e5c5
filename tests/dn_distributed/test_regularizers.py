import pytest

from dn_distributed.regularizers import PENALTIES, build_penalties, coefficients, resolve
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing
from dn_distributed.regularizers.l1 import L1


def test_dn_sets_both_directions() -> None:
    assert resolve({"dn": 5e-5}) == {"dn_incoming": 5e-5, "dn_outgoing": 5e-5}


def test_one_direction_may_be_set_alone() -> None:
    assert resolve({"dn_outgoing": 5e-5}) == {"dn_outgoing": 5e-5}


def test_zero_coefficients_are_dropped() -> None:
    assert resolve({"l1": 0.0, "dn": 0.0, "dropout": 0.0, "l2": 1.0}) == {"l2": 1.0}


def test_nothing_set_is_no_regularisation() -> None:
    assert resolve({}) == {}


def test_order_of_the_keys_does_not_matter() -> None:
    chosen = {"l1": 1.0, "dn": 2.0, "dropout": 0.5, "l2": 3.0}
    backwards = dict(reversed(chosen.items()))
    assert list(resolve(chosen).items()) == list(resolve(backwards).items())


def test_any_combination_is_legal() -> None:
    assert len(resolve({"l1": 1.0, "l2": 1.0, "dn": 1.0, "dropout": 0.5})) == 5


def test_unknown_name_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="unknown regulariser 'l3'") as error:
        resolve({"l3": 1.0})
    assert all(name in str(error.value) for name in coefficients())


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
@pytest.mark.parametrize("name", coefficients())
def test_value_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = .* is out of range"):
        resolve({name: value})


def test_dropout_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="0 ≤ dropout < 1"):
        resolve({"dropout": 1.0})


@pytest.mark.parametrize("names", [("dn", "dn_incoming"), ("dn_outgoing", "dn")])
def test_setting_a_direction_twice_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="is set twice"):
        resolve(dict.fromkeys(names, 1.0))


def test_penalties_are_built_by_name_without_dropout() -> None:
    built = build_penalties(resolve({"l1": 0.1, "dn": 0.2, "dropout": 0.5}))
    assert built == [Incoming(0.2), Outgoing(0.2), L1(0.1)]


def test_every_penalty_can_be_built() -> None:
    built = build_penalties(dict.fromkeys(PENALTIES, 1.0))
    assert [penalty.name for penalty in built] == list(PENALTIES)
