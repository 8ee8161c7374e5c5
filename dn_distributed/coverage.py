"""Over how much of a network penalties, pruning and counts speak, as a value that a sweep remembers."""

from typing import Annotated

from pydantic import Field

from dn_distributed.config import Count, FrozenModel
from dn_distributed.text import percent, shortened

_LONGEST = 60
"""Characters of the names of layers."""


class Coverage(FrozenModel):
    """The regularised layers of a network that has other parameters too."""

    layers: tuple[str, ...]
    parameters: Annotated[int, Field(ge=0)]
    """Of these layers, biases among them."""
    all_parameters: Count
    """Of the whole network."""

    @property
    def words(self) -> str:
        """What stands behind "penalties, pruning and counts are"."""
        names = shortened(", ".join(self.layers), _LONGEST)
        return f"of {names}: {percent(self.parameters, self.all_parameters)} of all {self.all_parameters:,} parameters"
