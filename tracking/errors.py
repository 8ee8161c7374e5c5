"""What is told to the user in one line."""

from dn_distributed.errors import DropNeuronError


class StoreError(DropNeuronError):
    """The store cannot be used; the message says why and what to do."""
