"""Proximal steps of L1 and of DropNeuron's penalties: weights and groups become exactly zero while training.

``step_`` is the step of one tensor, ``shrink_groups`` the operator of one family of groups.
"""

from dn_distributed.proximal.groups import shrink_groups as shrink_groups
from dn_distributed.proximal.step import Coefficients as Coefficients
from dn_distributed.proximal.step import step_ as step_
