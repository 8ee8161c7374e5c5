"""The tutorial way of the same work: DataLoader, autograd penalties, one Tune trial per seed, Ray's MLflow callback.

It is written as the documentation of each library shows it, and does per epoch what this project does: train,
and score the validation data.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from dn_distributed.data.linear import Scripted
from dn_distributed.tasks import TASKS


def penalty(network: nn.Module, layers: tuple[str, ...], dn_layers: tuple[str, ...], l1: float, dn: float) -> Tensor:
    """Return ℓ1 and both DropNeuron terms, by autograd."""
    modules = dict(network.named_modules())
    total = torch.zeros(())
    for name in layers:
        total = total + l1 * (modules[name].weight.abs().sum() + modules[name].bias.abs().sum())
    for name in dn_layers:
        weight = modules[name].weight
        total = total + dn * (weight.norm(dim=1).sum() + weight.norm(dim=0).sum())
    return total


def datasets(task: str, data_dir: str, seed: int) -> tuple[Dataset[Any], Dataset[Any]]:
    """Return training and validation data as torchvision's examples load them."""
    if task == "regression":
        splits = Scripted(name="linear_scripted").generate([seed])
        return tuple(TensorDataset(s.inputs[0], s.targets[0]) for s in (splits.train, splits.validation))  # type: ignore[return-value]
    from torchvision import datasets as vision
    from torchvision import transforms

    flatten = [] if task == "lenet5" else [transforms.Lambda(torch.flatten)]
    whole = vision.MNIST(data_dir, train=True, transform=transforms.Compose([transforms.ToTensor(), *flatten]))
    return Subset(whole, range(5000, 60000)), Subset(whole, range(5000))


class LeNet5(nn.Module):
    """The same function as this project's, with ReLU before pooling as tutorials have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 5, padding=2), nn.Conv2d(32, 64, 5, padding=2)
        self.fc1, self.fc2 = nn.Linear(64 * 7 * 7, 512), nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        """From pixels ``[B, 1, 28, 28]`` to logits ``[B, 10]``."""
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc2(functional.relu(self.fc1(x.flatten(1))))  # type: ignore[no-any-return]


def train(config: dict[str, Any]) -> None:
    """Train one seed: the function that Tune calls."""
    from ray import tune

    torch.manual_seed(config["seed"])
    torch.set_num_threads(1)
    task = TASKS[config["task"]](name=config["task"])
    network = LeNet5() if config["task"] == "lenet5" else task.network()
    task.initialize(network, torch.Generator().manual_seed(config["seed"]))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    train_data, validation_data = datasets(config["task"], config["data_dir"], config["seed"])
    training = task.default_training
    loader = DataLoader(train_data, training.batch_size, shuffle=training.shuffle, drop_last=True)
    dn_layers = task.layers_of("dn_incoming")
    for _ in range(config["epochs"]):
        network.eval()  # dropout is not part of this comparison
        for step, (x, y) in enumerate(loader):
            if step == config["max_steps"]:
                break
            target = x if config["task"] == "autoencoder" else y
            optimizer.zero_grad()
            loss = task.loss(network(x), target) + penalty(network, task.layers, dn_layers, config["l1"], config["dn"])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            losses = []
            for x, y in DataLoader(validation_data, 1000):
                output = network(x)
                losses.append(
                    functional.mse_loss(output, x) if config["task"] == "autoencoder" else task.loss(output, y)
                )
        tune.report({"loss": float(torch.stack(losses).mean())})


def sweep(task: str, data_dir: Path, seeds: int, epochs: int, max_steps: int, store_uri: str, scratch: Path) -> None:
    """Run ``seeds`` trials, as Ray's MLflow example does."""
    from mlflow import MlflowClient
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    config = {
        "task": task, "data_dir": str(data_dir), "epochs": epochs, "max_steps": max_steps, "l1": 1e-5, "dn": 5e-5,
        "seed": tune.grid_search(list(range(seeds))),
    }  # fmt: skip
    artifacts = (scratch / "artifacts").as_uri()  # else MLflow makes a folder where one stands
    MlflowClient(store_uri).create_experiment(f"tutorial-{task}", artifact_location=artifacts)
    callback = MLflowLoggerCallback(tracking_uri=store_uri, experiment_name=f"tutorial-{task}", save_artifact=True)
    results = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space=config,
        run_config=tune.RunConfig(storage_path=str(scratch), callbacks=[callback], verbose=0),
    ).fit()
    assert not results.errors, results.errors
