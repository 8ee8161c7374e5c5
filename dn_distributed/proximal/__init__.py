"""Proximal steps of L1 and of DropNeuron's penalties: weights and groups become exactly zero while training.

``step_`` is the step of one tensor, ``shrink_groups`` the operator of one family of groups; ``StackedProximalStep`` is
of all parameters of a stack, and ``ProximalSteps`` follows an optimiser of torch's.
"""

from dn_distributed.proximal.groups import shrink_groups as shrink_groups
from dn_distributed.proximal.own_loop import ProximalSteps as ProximalSteps
from dn_distributed.proximal.stack import StackedProximalStep as StackedProximalStep
from dn_distributed.proximal.step import FORMS as FORMS
from dn_distributed.proximal.step import Coefficients as Coefficients
from dn_distributed.proximal.step import step_ as step_
