"""The L2 of the published LeNet-300-100 script: an L1 on the last layer, by a slip. Key: ``l2_as_scripted``."""

from typing import ClassVar

from dn_distributed.regularizers.l1 import L1
from dn_distributed.regularizers.l2 import L2


class L2ButLast(L2):
    """L2 on every regularised layer but the last."""

    name: ClassVar[str] = "l2_but_last"
    reach: ClassVar[slice] = slice(None, -1)


class L1OfLast(L1):
    """L1 on the last regularised layer alone."""

    name: ClassVar[str] = "l1_of_last"
    reach: ClassVar[slice] = slice(-1, None)
