"""Errors of this package that a user can set right: one line each."""

from dn_distributed.errors import DropNeuronError


class StoreError(DropNeuronError):
    """The store cannot be used; the message says why and what to do."""
