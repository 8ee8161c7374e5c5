"""A training loop of your own in which weights and neurons become exactly zero: no threshold, no pruning.

Run it with ``python examples/proximal_loop.py``; the 8 × 8 digits come with scikit-learn.
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
dn.ProximalSteps(network, optimizer, dn=3e-3, l1=1e-4)

for epoch in range(40):
    for batch in torch.randperm(1400).split(100):
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # and the proximal step
    if epoch % 10 == 9:
        counts = dn.count(network)
        print(
            f"epoch {epoch + 1}: {counts.num_nonzero} weights, {counts.neurons_alive} of {counts.neurons_total} neurons"
        )

accuracy = (network(images[1400:]).argmax(1) == labels[1400:]).float().mean()
print(f"accuracy {accuracy:.1%}")
