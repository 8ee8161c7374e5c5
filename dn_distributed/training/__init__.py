"""One training loop for every task, device and method: it yields reports and outcomes, and knows no logger."""

from dn_distributed.training.outcome import EpochReport as EpochReport
from dn_distributed.training.outcome import Outcome as Outcome
from dn_distributed.training.trainer import Trainer as Trainer
