import pytest
import torch

from dn_distributed.scores import ACCURACY, MSE, NMSE, Score


def test_accuracy_counts_largest_outputs_that_are_the_label() -> None:
    outputs = torch.tensor([[[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]])
    correct, total = ACCURACY.parts(outputs, torch.tensor([[1, 0, 0]]))
    assert (correct.tolist(), total.tolist()) == ([2.0], [3.0])


def test_mse_averages_over_all_output_entries() -> None:
    outputs, targets = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.zeros(1, 2, 2)
    error, entries = MSE.parts(outputs, targets)
    assert (error / entries).item() == 30 / 4


def test_nmse_divides_by_the_squares_of_the_targets() -> None:
    outputs, targets = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [4.0]]])
    error, size = NMSE.parts(outputs, targets)
    assert (error / size).item() == 8 / 25


@pytest.mark.parametrize("score", [MSE, NMSE])
def test_replicates_are_scored_apart(score: Score) -> None:
    targets = torch.ones(2, 3, 1)
    outputs = torch.stack([targets[0], targets[1] + 1])
    error, size = score.parts(outputs, targets)
    assert (error / size).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("score", [MSE, NMSE])
def test_batches_add_up_to_the_whole(score: Score) -> None:
    draw = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(2, 10, 4, generator=draw), torch.randn(2, 10, 4, generator=draw)
    whole = score.parts(outputs, targets)
    halves = [score.parts(outputs[:, part], targets[:, part]) for part in (slice(7), slice(7, None))]
    for total, first, second in zip(whole, *halves, strict=True):
        torch.testing.assert_close(total, first + second, rtol=1e-6, atol=0)


def test_more_accuracy_and_less_error_are_better() -> None:
    assert ACCURACY.better(0.9, 0.8)
    assert MSE.better(0.1, 0.2)
    assert not NMSE.better(0.2, 0.1)
