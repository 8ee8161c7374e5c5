from itertools import product

import torch

from dn_distributed.seeds import derive, generator


def test_derived_seed_is_pinned() -> None:
    assert derive(0, "init") == 7615695542073086227
    assert derive(7, "order", 3) == 929583480629082613


def test_derived_seeds_differ_by_seed_name_and_index() -> None:
    draws = list(product(range(10), ("init", "order", "dropout"), range(10)))
    assert len({derive(*draw) for draw in draws}) == len(draws)


def test_derived_seed_fits_a_signed_64_bit_integer() -> None:
    assert all(0 <= derive(seed, "init") < 2**63 for seed in range(100))


def test_digits_of_seed_and_index_do_not_run_together() -> None:
    assert derive(1, "draw", 11) != derive(11, "draw", 1)


def test_generator_is_fresh_each_time() -> None:
    first = torch.rand(5, generator=generator(3, "init"))
    again = torch.rand(5, generator=generator(3, "init"))
    assert torch.equal(first, again)


def test_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(5, generator=generator(3, "init"))
    assert torch.equal(before, torch.get_rng_state())
