"""Units that leave while a network trains: the right ones, for good, and what stays computes what it should."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dn_distributed.config import Drop, Pruning, Training
from dn_distributed.dropping import scores
from dn_distributed.dropping.chain import Chain, Link, Measure, find_chain
from dn_distributed.dropping.choice import Alive, choose
from dn_distributed.dropping.narrow import NarrowReplica
from dn_distributed.dropping.removal import alive_in, drop_units_, drop_what_is_dead_, structure_of
from dn_distributed.dropping.second_order import SecondOrder
from dn_distributed.regularizers import resolve
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import Task
from dn_distributed.training import Trainer
from tests.dn_distributed.own_models import OwnTask
from tests.dn_distributed.support import DataOf, make_task

Score = Literal["norm", "taylor", "obs"]
Whole = Callable[[Task], tuple[NarrowReplica, Chain, Replicas, Tensor, Tensor]]
NAMES = ["lenet300", "autoencoder", "lenet5", "lenet5_caffe", "regression"]


def with_filters() -> Task:
    return make_task("lenet5", filters=True)


@pytest.fixture(scope="module")
def whole(few_data: DataOf) -> Whole:
    """The second replicate of two, with nothing gone, and training samples."""

    def make(task: Task) -> tuple[NarrowReplica, Chain, Replicas, Tensor, Tensor]:
        train = few_data(task).for_seeds([1, 2]).train
        inputs, targets = (part[1] if task.kind == "linear" else part for part in (train.inputs, train.targets))
        replicas = Replicas(task, [1, 2], 0.0, torch.device("cpu"))
        replicas.values.mul_(3)  # so that the paper's tiny initial weights do something
        chain = find_chain(
            replicas.network, task.layers, [], lambda: replicas.call(*replicas.state_of_first(), [], inputs[:1])
        )
        return NarrowReplica(task, replicas, 1, chain, chain.whole()), chain, replicas, inputs[:60], targets[:60]

    return make


def test_a_chain_says_who_reads_what(whole: Whole) -> None:
    chain = whole(make_task("lenet5_caffe"))[1]
    assert chain.links == (
        Link("conv1", 1, 20, 25, 24 * 24, 1, False),
        Link("conv2", 20, 50, 25, 8 * 8, 1, False),
        Link("fc1", 800, 500, 1, 1, 16, True),
        Link("fc2", 500, 10, 1, 1, 1, True),
    )
    full: dict[Measure, float] = {"weights": 430500, "multiply_adds": 2293000, "units": 1 + 20 + 50 + 500 + 10}
    alive = alive_in(*whole(make_task("lenet5_caffe"))[:2], None)
    for measure, expected in full.items():
        assert alive.size(chain, measure) == expected


@pytest.mark.parametrize("name", NAMES)
def test_nothing_gone_it_puts_out_what_the_stack_does(whole: Whole, name: str) -> None:
    replica, _, replicas, inputs, _ = whole(make_task(name))
    expected = replicas.forward(inputs.expand(2, *inputs.shape))[1]
    torch.testing.assert_close(replica.outputs(inputs), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [lambda: make_task("lenet300"), lambda: make_task("autoencoder"), with_filters])
def test_a_taylor_score_is_what_a_sample_says_of_it(whole: Whole, make: Callable[[], Task]) -> None:
    """Sample by sample, unit by unit: ½ E[((a - E a) · ∂L/∂a)²], summed over where an input stands."""
    task = make()
    replica, chain, replicas, inputs, targets = whole(task)
    worth = scores.by_taylor(replica, chain, replica.signals(inputs, targets, of_outputs=False))
    network = replicas.plain_network(1, {})
    reads: dict[str, list[Tensor]] = {link.name: [] for link in chain.links}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        return lambda _module, read: reads[name].append(read[0].requires_grad_())

    for name in reads:
        network.get_submodule(name).register_forward_pre_hook(note(name))
    moves: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in reads}
    for sample in range(len(inputs)):
        loss = task.loss(network(inputs[sample : sample + 1].clone()), targets[sample : sample + 1])
        found = [tensors[-1] for tensors in reads.values()]
        for name, tensor, gradient in zip(reads, found, torch.autograd.grad(loss, found), strict=True):
            moves[name].append((tensor.detach()[0], gradient[0]))
    for link in chain.links:
        values, gradients = (torch.stack(parts) for parts in zip(*moves[link.name], strict=True))
        mean = values.transpose(0, 1).flatten(1).mean(1)
        moved = [(values[:, i] - mean[i]) * gradients[:, i] for i in range(link.num_inputs)]
        by_input = torch.stack([of_one.reshape(len(inputs), -1).sum(1) for of_one in moved])
        torch.testing.assert_close(worth[link.name].inputs, by_input.square().mean(1) / 2, rtol=1e-3, atol=1e-9)
        by_unit = by_input.view(link.num_inputs // link.features, link.features, -1).sum(1)
        torch.testing.assert_close(worth[link.name].units, by_unit.square().mean(1) / 2, rtol=1e-3, atol=1e-9)


def test_a_norm_is_of_what_enters_and_leaves(whole: Whole) -> None:
    replica, chain, replicas, _, _ = whole(with_filters())
    worth = scores.by_norm(replica, chain)
    weights = {name: weight[1] for name, weight in replicas.weights().items()}
    entering, leaving = weights["conv2"][5], weights["fc1"][:, 5 * 49 : 6 * 49]
    expected = (entering.square().sum() + leaving.square().sum()).sqrt()
    torch.testing.assert_close(worth["fc1"].units[5], expected)
    torch.testing.assert_close(worth["fc1"].inputs[7], weights["fc1"][:, 7].norm())
    torch.testing.assert_close(
        worth["fc2"].units[3], (weights["fc1"][3].square().sum() + weights["fc2"][:, 3].square().sum()).sqrt()
    )


@pytest.mark.parametrize("score", ["norm", "taylor", "obs"])
@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe", "autoencoder"])
def test_the_smaller_tensors_compute_what_the_masked_ones_do(whole: Whole, name: str, score: Score) -> None:
    task = make_task(name)
    replica, chain, replicas, inputs, targets = whole(task)
    alive, drop = alive_in(replica, chain, None), Drop(score=score, to=0.3)
    goal = 0.3 * alive.size(chain, "weights")
    if score == "obs" and name == "lenet5_caffe":
        with pytest.raises(ValueError, match="fully connected layers alone; see layer 'conv1'"):
            drop_units_(replica, chain, alive, drop, goal, (inputs, targets), last=True)
        return
    left = drop_units_(replica, chain, alive, drop, goal, (inputs, targets), last=True)
    assert 0.2 * goal < left.size(chain, "weights") <= goal
    structure = structure_of(replica, chain, left)
    replica.values.mul_(structure)
    replica.copy_out_(replica.values, replicas.values[1])
    whole_structure = torch.zeros_like(replicas.values, dtype=torch.bool)
    replica.copy_out_(structure, whole_structure[1])
    masks = replicas.views(whole_structure)
    small = NarrowReplica(task, replicas, 1, chain, chain.left({n: masks[f"{n}.weight"][1] for n in task.layers}))
    assert len(small.index) < 0.35 * len(replica.index)
    expected = replicas.forward(inputs.expand(2, *inputs.shape))[1]
    torch.testing.assert_close(small.outputs(inputs), expected, rtol=1e-3, atol=1e-4)


def test_second_order_removal_is_least_squares_on_what_stays(whole: Whole) -> None:
    """Without curvature a layer's other inputs take over as the best linear prediction of its sums does."""
    task = make_task("lenet300")
    replica, chain, replicas, inputs, targets = whole(task)
    alive = alive_in(replica, chain, None)
    goal = alive.size(chain, "weights") - 1
    read = replica.signals(inputs, targets, of_outputs=False)
    left = drop_units_(replica, chain, alive, Drop(score="obs", to=0.5), goal, (inputs, targets), last=False)
    (name,) = [link.name for link in chain.links if not left.inputs[link.name].all()]
    (gone,) = np.flatnonzero(~left.inputs[name])
    before = replicas.parameters[f"{name}.weight"][1].double().numpy()
    after = replica.parameters.by_name[f"{name}.weight"][0].double().numpy()
    values = read[name][0].double().numpy()
    centred = values - values.mean(0)
    ridge = 1e-3 * np.square(centred).mean(0).mean() + 1e-7
    stays = np.arange(centred.shape[1]) != gone
    gram = centred.T @ centred / len(centred) + ridge * np.eye(centred.shape[1])
    moved = np.linalg.solve(gram[np.ix_(stays, stays)], gram[stays, gone])
    np.testing.assert_allclose(after[:, gone], 0)
    np.testing.assert_allclose(after[:, stays], before[:, stays] + np.outer(before[:, gone], moved), atol=1e-6)


class WithoutBias(OwnTask):
    """Sigmoids between layers without bias: what a unit gives is never 0."""

    head: ClassVar[tuple[str, ...]] = ("1", "3", "5")

    @staticmethod
    def make() -> nn.Module:
        layers = [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise((784, 30, 20, 10))]
        return nn.Sequential(nn.Flatten(), layers[0], nn.Sigmoid(), layers[1], nn.Sigmoid(), layers[2])


@pytest.mark.parametrize("score", ["taylor", "obs"])
def test_without_bias_a_unit_is_worth_its_mean_too(whole: Whole, score: Score) -> None:
    """A unit that always gives the same says nothing, but nothing stands in for what it gives."""
    replica, chain, _, inputs, targets = whole(WithoutBias())
    replica.parameters.by_name["1.weight"][0, 4] = 0
    alive = alive_in(replica, chain, None)
    if score == "taylor":
        worth = scores.by_taylor(replica, chain, replica.signals(inputs, targets, of_outputs=False))["3"].units.numpy()
    else:
        worth = SecondOrder(replica, chain, alive, (inputs, targets)).worth["3"][1]
    assert worth[4] > 0.1 * np.median(worth) > 0


def test_second_order_removal_without_bias_is_least_squares_on_what_stays(whole: Whole) -> None:
    replica, chain, replicas, inputs, targets = whole(WithoutBias())
    alive = alive_in(replica, chain, None)
    values = replica.signals(inputs, targets, of_outputs=False)["3"][0].double().numpy()
    second_order = SecondOrder(replica, chain, alive, (inputs, targets))
    second_order.compensate(chain.links[1], 7)
    second_order.write_back()
    before, after = (r["3.weight"] for r in (replicas.parameters, replica.parameters.by_name))
    ridge = 1e-3 * np.square(values).mean(0).mean() + 1e-7
    stays = np.arange(30) != 7
    gram = values.T @ values / len(values) + ridge * np.eye(30)
    moved = np.linalg.solve(gram[np.ix_(stays, stays)], gram[stays, 7])
    expected = before[1].double().numpy()[:, stays] + np.outer(before[1].double().numpy()[:, 7], moved)
    np.testing.assert_allclose(after[0].double().numpy()[:, stays], expected, rtol=1e-4, atol=1e-5)


def test_what_is_dead_stays_where_no_bias_takes_up_what_it_gives(whole: Whole) -> None:
    replica, chain, _, inputs, _ = whole(WithoutBias())
    alive = alive_in(replica, chain, None)
    weights = replica.parameters.by_name
    weights["5.weight"][0, :, 3] = 0
    left = drop_what_is_dead_(replica, chain, alive, inputs)
    assert (~left.units["3"]).nonzero()[0].tolist() == [3]  # nothing reads it
    weights["1.weight"][0, :2] = 0
    assert not drop_what_is_dead_(replica, chain, alive, inputs).differs_from(alive)


# --- the choice --------------------------------------------------------------------------------------------------


def alive_of(*sizes: int) -> tuple[Chain, Alive]:
    links = [Link(f"l{i}", a, b, 1, 1, 1, True) for i, (a, b) in enumerate(itertools.pairwise(sizes))]
    inputs = {link.name: np.ones(link.num_inputs, bool) for link in links}
    units = {link.name: np.ones(link.num_units, bool) for link in links}
    owners = {link.name: np.arange(link.num_inputs) for link in links}
    return Chain(tuple(links), ()), Alive(inputs, units, owners)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.floats(0.01, 1.2), st.integers(0, 99), st.booleans())
def test_the_choice_reaches_its_goal_and_keeps_a_unit_of_each_layer(
    sizes: list[int], share: float, seed: int, last: bool
) -> None:
    chain, alive = alive_of(*sizes)
    draw = np.random.default_rng(seed)
    worth = {link.name: (w := draw.random(link.num_inputs), w) for link in chain.links}
    full = alive.size(chain, "weights")
    goal = share * full
    choose(chain, alive, worth, goal, "weights", last=last)
    size = alive.size(chain, "weights")
    assert all(flags.any() for flags in (*alive.inputs.values(), *alive.units.values()))
    assert alive.units[chain.links[-1].name].all()
    for before, after in itertools.pairwise(chain.links):
        assert (alive.units[before.name] == alive.inputs[after.name]).all()
    if last:
        assert size <= max(goal, len(sizes) - 2 + sizes[-1])
    else:
        assert size >= min(goal * 0.98, full)


@pytest.mark.parametrize("worth_of", [(np.inf,), (np.nan,), (np.inf, 1.0, np.nan)], ids=str)
@pytest.mark.parametrize("measure", ["weights", "units", "multiply_adds"])
def test_the_choice_ends_where_worth_is_not_finite(measure: Measure, worth_of: tuple[float, ...]) -> None:
    chain, alive = alive_of(4, 5, 3)
    worth = {link.name: (w := np.resize(worth_of, link.num_inputs), w) for link in chain.links}
    gone: list[tuple[str, int]] = []
    choose(chain, alive, worth, 0.0, measure, last=True, removed=lambda link, number: gone.append((link.name, number)))
    assert len(set(gone)) == len(gone)
    assert alive.size(chain, measure) == chain.smallest_size(measure)


@pytest.mark.parametrize("measure", ["weights", "units", "multiply_adds"])
@pytest.mark.parametrize("make", [lambda: make_task("lenet300"), lambda: make_task("lenet5_caffe"), with_filters])
def test_what_cannot_be_dropped_is_known_before(whole: Whole, make: Callable[[], Task], measure: Measure) -> None:
    replica, chain, _, inputs, targets = whole(make())
    alive, drop = alive_in(replica, chain, None), Drop(score="norm", to=1e-9, of=measure)
    left = drop_units_(replica, chain, alive, drop, 1e-9, (inputs, targets), last=True)
    smallest = chain.smallest_size(measure)
    sizes = left.size(chain, measure), smallest
    assert sizes[0] == sizes[1]


def test_what_is_worth_least_for_its_cost_goes_first() -> None:
    chain, alive = alive_of(10, 4, 20)
    inputs, hidden = np.full(10, 1.0), np.full(4, 6.0)
    inputs[3], hidden[2] = 0.9, 5.0  # 0.9 for 4 weights, 5.0 for 10 + 20
    worth = {"l0": (inputs, inputs), "l1": (hidden, hidden)}
    choose(chain, alive, worth, 120 - 30, "weights", last=False)
    assert np.flatnonzero(~alive.units["l0"]).tolist() == [2]
    assert alive.inputs["l0"].all()


# --- while training ----------------------------------------------------------------------------------------------


DROPOUT = {"input_dropout": 0.1, "dropout": 0.1, "l1": 1e-5}


def train(
    data_of: DataOf,
    task: Task,
    seeds: Sequence[int],
    coefficients: dict[str, float] | None = None,
    shrink: bool = True,
    **drop: Any,
) -> tuple[Trainer, list[dict[str, Tensor]]]:
    """Train for five epochs, three of which drop units, and return what weights were left after each."""
    phases = [
        Training(epochs=1, batch_size=40),
        Training(epochs=3, batch_size=40, drop=Drop(**drop), shrink=shrink),
        Training(epochs=1, batch_size=40, shrink=shrink, optimizer="sgd", learning_rate=0.01),
    ]
    trainer = Trainer(task, resolve(coefficients or {}), phases, 0.0, data_of(task).for_seeds(seeds), seeds)
    masks = []
    for _ in trainer.run():
        masks.append({name: weight != 0 for name, weight in trainer.replicas.weights().items()})
    return trainer, masks


@pytest.mark.parametrize("measure", ["weights", "units", "multiply_adds"])
@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe"])
def test_units_go_for_good_until_the_share_is_left(few_data: DataOf, name: str, measure: Measure) -> None:
    share = 0.4 if measure == "units" else 0.1
    trainer, masks = train(few_data, make_task(name), [1, 2], DROPOUT, to=share, of=measure, every=3, samples=60)
    for earlier, later in itertools.pairwise(masks):
        assert all(not (later[layer] & ~earlier[layer]).any() for layer in earlier)
    for outcome in trainer.outcomes():
        counts = outcome.counts
        sizes = {
            "weights": counts.num_weights / counts.dense_size,
            "units": counts.neurons_total / counts.neurons_alive,
        }
        if measure in sizes:
            assert 1 / share <= sizes[measure] < 1.5 / share
        assert counts.dense_size < 0.5 * counts.num_weights
        assert counts.num_nonzero <= counts.dense_size


@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe"])
def test_with_and_without_shrinking_it_is_the_same_network_but_for_rounding(few_data: DataOf, name: str) -> None:
    (small, _), (large, _) = (
        train(few_data, make_task(name), [1], DROPOUT, shrink, to=0.2, every=5, samples=60) for shrink in (True, False)
    )
    (one,), (other,) = small.outcomes(), large.outcomes()
    assert all(torch.equal(mask, other.masks[layer]) for layer, mask in one.masks.items())
    for score, value in one.scores.items():
        assert value == pytest.approx(other.scores[score], rel=1e-5)


def test_what_counts_on_the_number_of_units_is_found(few_data: DataOf) -> None:
    class OwnLinear(nn.Linear):
        """Of a class whose units are not followed."""

    class Sized(nn.Module):
        """What its second layer reads depends on how many units the first has."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = OwnLinear(784, 60), OwnLinear(60, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.fc1(x))
            return self.fc2(x * x.shape[1])

    class Own(type(make_task("lenet300"))):  # type: ignore[misc]
        @property
        def layers(self) -> tuple[str, ...]:
            return ("fc1", "fc2")

        def network(self) -> nn.Module:
            return Sized()

    with pytest.raises(ValueError, match="puts out something else; give 'shrink: false'"):
        train(few_data, Own(), [1], to=0.2, every=2, samples=60)


class ResidualPair(nn.Module):
    """What its first layer puts out enters the third beside the second."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 30), nn.Linear(30, 30), nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.fc1(x))
        return self.fc3(torch.relu(self.fc2(hidden)) + hidden)


class ResidualTask(type(make_task("lenet300"))):  # type: ignore[misc]
    def network(self) -> nn.Module:
        return ResidualPair()


def test_units_that_others_read_too_are_no_chain(few_data: DataOf) -> None:
    """Cut as a chain, they would silently be another network: it is fine-tuned by its masks, and nothing drops."""
    with pytest.raises(ValueError, match="its regularised layers are no chain"):
        train(few_data, ResidualTask(initial="he"), [1], to=0.2)
    still = Training(steps=5, batch_size=40, fixed_structure=True, learning_rate=1e-30)
    phases = [Training(epochs=8, batch_size=40), still]
    pruned = Pruning(thresholds={"fc2": 10.0})
    trainer = Trainer(
        ResidualTask(initial="he"), {}, phases, pruned, few_data(ResidualTask(initial="he")).for_seeds([1]), [1]
    )
    trainer.advance(40)
    (before,) = trainer.outcomes()
    trainer.advance(5)
    (after,) = trainer.outcomes()
    assert after.scores["test/loss/after_pruning"] == pytest.approx(before.scores["test/loss/after_pruning"], rel=1e-5)
    assert after.scores["test/loss/after_pruning"] < 2


def test_a_replicate_that_has_diverged_harms_no_other(few_data: DataOf) -> None:
    task = make_task("lenet300")
    dropping = Training(epochs=2, batch_size=40, drop=Drop(to=0.2, every=2, samples=50))
    phases = [Training(epochs=1, batch_size=40), dropping]
    pack, alone = (Trainer(task, {}, phases, 0.0, few_data(task).for_seeds(seeds), seeds) for seeds in ([1, 2], [2]))
    pack.advance(3)
    pack.replicas.values[0, 5] = torch.nan
    for trainer in (pack, alone):
        for _ in trainer.run():
            pass
    assert pack.diverged() == [1]
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])


@pytest.mark.parametrize("score", ["norm", "taylor", "obs"])
def test_a_replicate_that_blows_up_while_units_drop_ends_as_diverged(few_data: DataOf, score: Score) -> None:
    """Its numbers overflow step by step: what its units are worth is infinite before its weights are."""
    task = make_task("regression", hidden=(8, 5))
    dropping = Training(steps=12, batch_size=20, drop=Drop(to=0.2, every=1, score=score))
    pack, alone = (Trainer(task, {}, dropping, 0.0, few_data(task).for_seeds(s), s) for s in ([1, 2], [2]))
    pack.replicas.values[0] *= 1e9
    pack._phase_run.restored()
    for trainer in (pack, alone):
        assert trainer.diverged() == []
        for _ in trainer.run():
            pass
    assert pack.diverged() == [1]
    assert alone.diverged() == []
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])
    assert pack.outcomes()[1].scores == alone.outcomes()[0].scores


def test_what_is_not_finite_does_not_go_with_a_unit_unnoticed(few_data: DataOf) -> None:
    """A moment that becomes infinite in the last step of an epoch, at whose end its unit would have gone."""
    task = make_task("regression", hidden=(8, 5))
    phase = Training(epochs=1, batch_size=20, drop=Drop(to=0.3, every=1000, score="norm"))
    trainer = Trainer(task, {}, phase, 0.0, few_data(task).for_seeds([1]), [1])
    trainer.advance(trainer.num_steps - 1)
    shrinking = trainer._phase_run._shrinking
    assert shrinking is not None
    (single,) = shrinking._singles()
    for name, place in (("fc1.weight", (0, 3)), ("fc2.weight", (0, slice(None), 3))):
        single.replica.parameters.by_name[name][place] = 1e-6
        single.replica.parameters.views(single.learner.optimizer.moments()["second_moment"])[name][place] = torch.inf
    shrinking.after_step(trainer.num_steps)
    assert trainer.diverged() == [1]


def test_units_drop_before_a_structure_is_fixed(few_data: DataOf) -> None:
    dropping = Training(steps=1, batch_size=40, drop=Drop(to=0.5))
    phases = [Training(steps=1, batch_size=40, fixed_structure=True), dropping]
    task = make_task("lenet300")
    with pytest.raises(ValueError, match="cannot come after one with 'fixed_structure'"):
        Trainer(task, {}, phases, 0.0, few_data(task).for_seeds([1]), [1])
