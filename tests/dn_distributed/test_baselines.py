"""Classical methods on problems whose answer is known."""

import pytest

from dn_distributed import baselines
from dn_distributed.config import Baseline
from dn_distributed.data.linear import Described, Scripted

NOISELESS = Described(name="linear_described", samples=200)


def test_matching_pursuit_finds_the_support_of_a_problem_without_noise() -> None:
    for outcome in baselines.outcomes("omp", NOISELESS.generate(range(5)), range(5)):
        assert outcome.scores["support/exact"] == 1.0
        assert outcome.scores["test/nmse/after_pruning"] < 1e-9


def test_lasso_keeps_the_true_coefficients_and_shrinks() -> None:
    outcome = baselines.outcomes("lasso", Scripted(name="linear_scripted").generate([3]), [3])[0]
    assert outcome.scores["support/recall"] == 1.0
    assert 0 < outcome.scores["test/nmse/after_pruning"] < 1e-3
    assert outcome.counts.num_nonzero >= 2


@pytest.mark.parametrize("name", ["lasso", "omp"])
def test_a_seed_has_the_same_outcome_in_any_company(name: Baseline) -> None:
    alone = baselines.outcomes(name, NOISELESS.generate([4]), [4])[0]
    among = baselines.outcomes(name, NOISELESS.generate([1, 4]), [1, 4])[1]
    assert alone.scores == among.scores


def test_noise_leaves_an_error(recwarn: pytest.WarningsRecorder) -> None:
    noisy = NOISELESS.model_copy(update={"noise": 0.5})
    outcome = baselines.outcomes("omp", noisy.generate([0]), [0])[0]
    assert 0.05 < outcome.scores["test/nmse/after_pruning"] < 1
    assert not recwarn.list
