import torch

from dn_distributed import recovery

TRUTH = torch.tensor([[0.0, 2.0, 0.0, -1.0]])


def measured(*found: float) -> dict[str, float]:
    values = recovery.measure(torch.tensor([found]), TRUTH)
    return {name: float(value[0]) for name, value in values.items()}


def test_the_truth_is_recovered_exactly() -> None:
    assert measured(0, 2, 0, -1) == {
        "support/precision": 1.0, "support/recall": 1.0, "support/exact": 1.0, "coefficients/nmse": 0.0,
    }  # fmt: skip


def test_too_many_cost_precision() -> None:
    found = measured(1, 2, 0, -1)
    assert (found["support/precision"], found["support/recall"], found["support/exact"]) == (2 / 3, 1.0, 0.0)
    assert found["coefficients/nmse"] == 1 / 5


def test_too_few_cost_recall() -> None:
    found = measured(0, 2, 0, 0)
    assert (found["support/precision"], found["support/recall"], found["support/exact"]) == (1.0, 0.5, 0.0)


def test_nothing_found_is_no_precision_and_not_an_error() -> None:
    assert measured(0, 0, 0, 0) == {
        "support/precision": 0.0, "support/recall": 0.0, "support/exact": 0.0, "coefficients/nmse": 1.0,
    }  # fmt: skip


def test_each_replicate_has_a_truth_of_its_own() -> None:
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert recovery.measure(torch.eye(2), truth)["support/exact"].tolist() == [1.0, 1.0]
    assert recovery.measure(torch.eye(2).flip(0), truth)["support/recall"].tolist() == [0.0, 0.0]
