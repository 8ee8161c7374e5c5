"""One training loop for every task, device and method: it yields reports and outcomes, and knows no logger.

``trainer`` is the loop. It goes through the ``phases`` of a training; a ``phase_run`` is one of them under way, and
``learner`` takes its steps: loss, ``penalties``, ``optimizer``. While units leave, ``shrinking`` takes them instead,
for each of the ``parts`` of a stack. ``evaluation`` measures what each epoch left, and ``outcome`` says it.
"""

from dn_distributed.training.outcome import EpochReport as EpochReport
from dn_distributed.training.outcome import Outcome as Outcome
from dn_distributed.training.trainer import Trainer as Trainer
