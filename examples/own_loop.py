"""A training loop of your own with DropNeuron's penalties: any nn.Module, no sweep and no task.

Run it with ``python examples/own_loop.py``; the 8 × 8 digits come with scikit-learn.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import dn_distributed as dn

torch.manual_seed(0)
torch.set_num_threads(1)  # so small a network is no quicker on more, and far slower beside other work
images, labels = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
images = images.float() / 16
network = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)

for _ in range(40):
    for batch in torch.randperm(1400).split(100):
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        loss = loss + dn.penalty(network, dn=3e-3, l1=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def show(when: str) -> None:
    """Print the accuracy on images that were not trained on, and what there is of the network."""
    accuracy = (network(images[1400:]).argmax(1) == labels[1400:]).float().mean()
    counts = dn.count(network)
    print(f"{when}: accuracy {accuracy:.1%}, {counts.num_nonzero} weights ({counts.density:.1%} left), ", end="")
    print(f"{counts.neurons_alive} of {counts.neurons_total} neurons, {counts.dense_size} weights as a dense network")


show("before pruning")
masks = dn.prune(network, threshold=0.01)  # in place; masks[layer] is True where a weight is left
show("after pruning")
