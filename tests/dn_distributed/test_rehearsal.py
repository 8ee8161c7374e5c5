"""What cannot be trained, or would silently be another network or penalty, is refused by a moment of training."""

import random
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import PrivateAttr
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from dn_distributed.config import Training
from dn_distributed.regularizers import PENALTIES
from dn_distributed.regularizers.l1 import L1
from dn_distributed.tasks import Task
from dn_distributed.tasks.lenet5 import LeNet5
from dn_distributed.training.rehearsal import check_penalty, rehearse
from dn_distributed.training.trainer import Trainer
from dn_distributed.weights_file import load_tensors_
from tests.dn_distributed.own_models import OwnTask
from tests.dn_distributed.support import DataOf


class Net(nn.Module):
    """784 → 8 → 10, and whatever a test changes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 8), nn.Linear(8, 10)
        self.change()

    def change(self) -> None:
        """Nothing."""

    def hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.fc1(x.flatten(1))
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.fc2(torch.relu(self.hidden(x)))
        return outputs


class Own(OwnTask):
    name: Literal["own"] = "own"
    head: ClassVar[tuple[str, ...]] = ("fc1", "fc2")
    cls: ClassVar[type[nn.Module]] = Net

    def network(self) -> nn.Module:
        return self.cls()


class BatchNormWithoutStatistics(Net):
    def change(self) -> None:
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)

    def hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.norm(super().hidden(x))
        return hidden


class BatchNorm(BatchNormWithoutStatistics):
    def change(self) -> None:
        self.norm = nn.BatchNorm1d(8)


class Frozen(Net):
    def change(self) -> None:
        self.fc1.bias.requires_grad_(False)


class Doubles(Net):
    def change(self) -> None:
        self.double()


class Tied(Net):
    def change(self) -> None:
        self.other = nn.Linear(8, 10)
        self.other.weight = self.fc2.weight


class TiedElsewhere(Net):
    """Two layers share a weight, neither of which is regularised."""

    def change(self) -> None:
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight

    def hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.two(self.one(super().hidden(x)).relu())
        return hidden


class Parametrized(Net):
    def change(self) -> None:
        parametrizations.weight_norm(self.fc2)


class Lazy(Net):
    def change(self) -> None:
        self.other = nn.LazyLinear(3)


class KeepsATensor(Net):
    def change(self) -> None:
        self.scale = torch.randn(8)

    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x) * self.scale


class Noisy(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return functional.dropout(super().hidden(x), training=self.training)


class NoisyWhileTesting(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x) if self.training else super().hidden(x) + torch.rand(8)


class Attends(Net):
    dropout = 0.0

    def hidden(self, x: Tensor) -> Tensor:
        hidden = super().hidden(x).view(-1, 1, 2, 4)
        attended = functional.scaled_dot_product_attention(hidden, hidden, hidden, dropout_p=self.dropout)
        return attended.flatten(1)


class NamesAPartLikeAWordOfPython(Net):
    def change(self) -> None:
        self.parts = nn.ModuleDict({"in": nn.Identity()})

    def hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.parts["in"](super().hidden(x))
        return hidden


class Recurrent(Net):
    dropout = 0.0

    def change(self) -> None:
        self.lstm = nn.LSTM(4, 8, 2, batch_first=True, dropout=self.dropout)

    def hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.lstm(super().hidden(x).view(-1, 2, 4))[0][:, -1]
        return hidden


class RecurrentWithDropout(Recurrent):
    dropout = 0.5


CAN_BE_TRAINED = [
    Net,
    BatchNormWithoutStatistics,
    BatchNorm,
    Attends,
    NamesAPartLikeAWordOfPython,
    TiedElsewhere,
    Recurrent,
]


class DropsWhatItAttendsTo(Attends):
    dropout = 0.1


class NoisyByNumpy(Net):
    def hidden(self, x: Tensor) -> Tensor:
        import numpy as np

        return super().hidden(x) * float(np.random.rand())


class Twice(Net):
    def change(self) -> None:
        self.fc2 = nn.Linear(8, 8)
        self.fc3 = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.fc3(self.fc2(self.fc2(self.hidden(x))))
        return outputs


class Never(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.hidden(x).repeat(1, 2)[:, :10]


class InPlace(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x.mul_(2))


class NotANumber(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x) * torch.nan


class Branches(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x) if x.sum() > 0 else super().hidden(-x)


class Counts(Net):
    """Stops learning after three steps, or would if it were called at each."""

    def change(self) -> None:
        self.calls = 0

    def hidden(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return super().hidden(x) * (1.0 if self.calls <= 3 else 0.0)


class CountsWhileTesting(Net):
    def change(self) -> None:
        self.seen = {"batches": [0]}

    def hidden(self, x: Tensor) -> Tensor:
        self.seen["batches"][0] += not self.training
        return super().hidden(x)


class CountsInAPart(Net):
    def change(self) -> None:
        class Part(nn.Identity):
            calls = 0

            def forward(self, x: Tensor) -> Tensor:
                type(self).calls += 1
                return x

        self.part = nn.Sequential(Part())

    def hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.part(super().hidden(x))
        return hidden


class DrawsOfItsOwn(Net):
    def change(self) -> None:
        self.random = random.Random(0)

    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x) * self.random.random()


class Remembers(Net):
    """What follows from the inputs, or stays from the first call on, may be kept."""

    def change(self) -> None:
        self.size, self.scale = 0, 0.0
        self.table: dict[torch.Size, float] = {}

    def hidden(self, x: Tensor) -> Tensor:
        self.size, self.seen, self.scale = len(x), x, 0.5 if self.training else 1.0
        self.table.setdefault(x.shape, float("nan"))
        return super().hidden(x)


def rehearse_with(few_data: DataOf, task: Task, **regularization: float) -> None:
    rehearse(task, regularization, Training(epochs=1, batch_size=32), few_data(task))


def own(network: type[nn.Module], **changes: Any) -> Task:
    made: Task = type("Changed", (Own,), {"cls": network, "__module__": __name__, **changes})()
    return made


@pytest.mark.parametrize("network", [*CAN_BE_TRAINED, Remembers])
@pytest.mark.parametrize("vectorize", [True, False])
def test_what_can_be_trained_passes(few_data: DataOf, network: type[nn.Module], vectorize: bool) -> None:
    before = torch.get_rng_state()
    rehearse_with(few_data, own(network, vectorize_on_cpu=vectorize), l1=1e-4, dn_incoming=1e-4)
    assert torch.equal(torch.get_rng_state(), before)


REFUSED = {
    Frozen: r"'fc1.bias' is frozen",
    Doubles: r"'fc1.weight' is of type float64; replicates train in float32",
    Tied: r"'fc2' shares its weight with 'other.weight'",
    Parametrized: r"'fc2' has no parameter 'weight' of its own",
    Lazy: r"'other.weight' has no size yet",
    KeepsATensor: r"keeps a tensor 'scale' that is no parameter",
    Noisy: r"draws random numbers of its own",
    NoisyWhileTesting: r"draws random numbers of its own",
    DropsWhatItAttendsTo: r"draws random numbers of its own",
    RecurrentWithDropout: r"draws random numbers of its own",
    NoisyByNumpy: r"draws random numbers of its own",
    Twice: r"used as \['fc1', 'fc2', 'fc2'\]; they are named as \['fc1', 'fc2'\]",
    Never: r"used as \['fc1'\]",
    InPlace: r"changes its inputs in place",
    Counts: r"changes attribute 'calls' of the network from call to call",
    CountsWhileTesting: r"changes attribute 'seen' of the network from call to call",
    CountsInAPart: r"changes attribute 'calls' of module 'part.0' from call to call",
    DrawsOfItsOwn: r"changes attribute 'random' of the network from call to call",
    NotANumber: r"the loss of the untrained network is not finite",
}


@pytest.mark.parametrize("vectorize", [True, False])
@pytest.mark.parametrize(("network", "reason"), [pytest.param(*item, id=item[0].__name__) for item in REFUSED.items()])
def test_a_network_is_refused(few_data: DataOf, network: type[nn.Module], reason: str, vectorize: bool) -> None:
    with pytest.raises(ValueError, match=reason):
        rehearse_with(few_data, own(network, vectorize_on_cpu=vectorize))


def test_a_shared_weight_is_one_and_is_written_once(few_data: DataOf) -> None:
    task = own(TiedElsewhere)
    splits = few_data(task).for_seeds([0])
    trainer = Trainer(task, {}, Training(steps=2, batch_size=32), 0.0, splits, [0])
    trainer.advance(2)
    values = {name: value[0] for name, value in trainer.replicas.parameters.items()}
    assert "two.weight" not in values
    network = TiedElsewhere()
    load_tensors_(network, values)
    assert network.two.weight is network.one.weight
    assert torch.equal(network.one.weight, values["one.weight"])


def test_a_loss_that_counts_its_calls_is_refused(few_data: DataOf) -> None:
    class Weighted(Own):
        _calls: int = PrivateAttr(default=0)

        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            self._calls += 1
            return super().loss(outputs, targets) / self._calls

    with pytest.raises(ValueError, match=r"changes attribute '_calls' of the task from call to call"):
        rehearse_with(few_data, Weighted())


def test_a_network_that_decides_by_its_data_is_refused(few_data: DataOf) -> None:
    with pytest.raises(RuntimeError, match="data-dependent"):
        rehearse_with(few_data, own(Branches))


def test_dropout_of_a_network_that_has_none_is_refused(few_data: DataOf) -> None:
    with pytest.raises(ValueError, match=r"no nn\.Dropout that it uses"):
        rehearse_with(few_data, own(Net), dropout=0.5)


def test_an_initialisation_that_does_not_follow_from_its_seed_is_refused(few_data: DataOf) -> None:
    def initialize(self: Task, network: nn.Module, draw: torch.Generator) -> None:
        nn.init.normal_(network.fc1.weight)  # type: ignore[union-attr,arg-type]

    with pytest.raises(ValueError, match="does not draw the same initial network"):
        rehearse_with(few_data, own(Net, initialize=initialize))


def test_a_network_that_is_the_same_each_time_is_refused(few_data: DataOf) -> None:
    only = Net()

    class Returned(Net):
        def __new__(cls) -> Any:
            return only

    with pytest.raises(ValueError, match="is the same each time it is asked for"):
        rehearse_with(few_data, own(Returned))


def test_seeds_that_begin_with_the_same_weights_are_remarked_on(few_data: DataOf) -> None:
    def rehearsed(**changes: Any) -> list[str]:
        task = own(Net, **changes)
        return rehearse(task, {}, Training(epochs=1, batch_size=32), few_data(task))

    def initialize(self: Task, network: nn.Module, draw: torch.Generator) -> None:
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.1)

    assert rehearsed() == []
    (note,) = rehearsed(initialize=initialize)
    assert note.startswith("every seed begins with the same weights")


def test_outputs_that_are_compared_each_with_each_are_refused(few_data: DataOf) -> None:
    def loss(self: Task, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs[:, :1], targets.float())

    with pytest.raises(UserWarning, match="Using a target size"):
        rehearse_with(few_data, own(Net, loss=loss))


def test_a_loss_of_many_numbers_is_refused(few_data: DataOf) -> None:
    def loss(self: Task, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none")

    with pytest.raises(ValueError, match=r"loss\(\) of a batch is of shape \[16\]"):
        rehearse_with(few_data, own(Net, loss=loss))


def test_a_loss_that_adds_up_over_a_batch_is_refused(few_data: DataOf) -> None:
    def loss(self: Task, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="sum")

    with pytest.raises(ValueError, match=r"loss\(\) adds up over the samples of a batch; return their mean"):
        rehearse_with(few_data, own(Net, loss=loss))


class _Forgets(L1):
    """Forgets the coefficient in the gradient."""

    name = "mine"

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        gradient.add_(tensor.sign())


class _Sums(L1):
    """Its value is over all replicates."""

    name = "mine"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        return self.coefficient * tensor.abs().sum()


class _Mixes(L1):
    """Each replicate feels the others."""

    name = "mine"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        return 0.5 * tensor.sum().square().expand(tensor.shape[:leading]) / len(tensor)

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        gradient.add_(tensor.sum())


class _Infinite(L1):
    """The root, whose gradient at zero is infinite."""

    name = "mine"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        return self.coefficient * tensor.abs().sqrt().flatten(leading).sum(-1)

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        gradient.add_(0.5 * self.coefficient * tensor.sign() / tensor.abs().sqrt())


class _InfiniteByAutograd(L1):
    """Its own gradient is finite everywhere; that of its value is NaN at zero."""

    name = "mine"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        return self.coefficient * tensor.flatten(leading).square().sum(-1).sqrt()

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        norms = tensor.flatten(leading).norm(dim=-1).view(-1, *[1] * (tensor.ndim - leading))
        gradient.add_(self.coefficient * tensor / norms.clamp(min=1e-30))


class _Misnamed(L1):
    """Called otherwise than it is entered."""

    name = "other"


@pytest.mark.parametrize(
    ("penalty", "reason"),
    [
        (_Forgets, r"add_gradient_\(\) does not add the gradient of value\(\)"),
        (_Sums, r"value\(\) of two replicates is of shape \[\], not \[2\]"),
        (_Mixes, r"depends on the others"),
        (_Infinite, r"at zero is not finite"),
        (_InfiniteByAutograd, r"by autograd, which dn.penalty\(\) takes, is not finite .*: add an epsilon inside"),
        (_Misnamed, r"as 'mine', and its name is 'other'"),
    ],
)
def test_a_penalty_is_refused(monkeypatch: pytest.MonkeyPatch, penalty: type[L1], reason: str) -> None:
    monkeypatch.setitem(PENALTIES, "mine", penalty)
    with pytest.raises(ValueError, match=reason):
        check_penalty("mine")


@pytest.mark.parametrize("name", PENALTIES)
def test_what_is_shipped_passes(name: str) -> None:
    check_penalty(name)


@pytest.mark.parametrize("name", PENALTIES)
def test_what_is_shipped_takes_kernels_too(name: str) -> None:
    check_penalty(name, kernel=(3, 2))


class OfMatrices(L1):
    """Squared columns of a matrix: of a kernel it adds up other weights than it says."""

    name: ClassVar[str] = "mine"
    touches: ClassVar[Any] = "weights"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        return self.coefficient * tensor.sum(-1).square().sum(-1)

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        gradient.add_(2 * self.coefficient * tensor.sum(-1, keepdim=True))


def test_a_penalty_of_matrices_alone_is_refused_where_a_convolution_is_named(
    few_data: DataOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PENALTIES, "mine", OfMatrices)
    check_penalty("mine")
    task = LeNet5(filters=True)
    rehearse(task, {"l1": 0.1, "dn_incoming": 0.1}, task.default_training, few_data(task))
    with pytest.raises(ValueError, match="penalty 'mine': value\\(\\) of two replicates is of shape"):
        rehearse(task, {"mine": 0.1}, task.default_training, few_data(task))


class OwnLinear(nn.Linear):
    """Of a class whose units are not followed."""


class Sized(Net):
    """What its second layer reads depends on how many units the first has."""

    def change(self) -> None:
        self.fc1, self.fc2 = OwnLinear(784, 8), OwnLinear(8, 10)

    def hidden(self, x: Tensor) -> Tensor:
        hidden = super().hidden(x)
        return hidden * hidden.shape[1]


class Turned(Net):
    """Its second layer does not read the units of the first in their order."""

    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x).flip(1)


class Sloped(Net):
    """A slope for each unit: of fewer units it has too many."""

    def change(self) -> None:
        self.slopes = nn.PReLU(8)

    def hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.slopes(super().hidden(x))
        return hidden


def test_a_part_that_has_other_sizes_than_the_units_left_is_said_to(few_data: DataOf) -> None:
    phases = [Training(epochs=1, batch_size=40), Training(epochs=1, batch_size=40, fixed_structure=True)]
    with pytest.raises(ValueError, match="does not run, a part of it counts on their number; give 'shrink: false'"):
        rehearse(own(Sloped), {}, phases, few_data(own(Sloped)))


def test_a_network_that_cannot_get_smaller_is_refused_where_a_structure_is_fixed(few_data: DataOf) -> None:
    class Refused(Own):
        cls: ClassVar[type[nn.Module]] = Sized

    class Masked(Own):
        cls: ClassVar[type[nn.Module]] = Turned

    task = Refused()
    phases = [Training(epochs=1, batch_size=40), Training(epochs=1, batch_size=40, fixed_structure=True)]
    with pytest.raises(ValueError, match="puts out something else; give 'shrink: false'"):
        rehearse(task, {}, phases, few_data(task))
    rehearse(task, {}, [phase.model_copy(update={"shrink": False}) for phase in phases], few_data(task))
    assert rehearse(Masked(), {}, phases, few_data(task)) == []  # no chain: its weights go, and all units stay
