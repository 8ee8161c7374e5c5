"""Errors of this package that a user can set right: one line each."""

from dn_distributed.errors import DropNeuronError


class StoreError(DropNeuronError):
    """The store cannot be used; the message says why and what to do."""

    http_status = 500
    """What a server answers where it cannot show something for this reason."""


class NoSweepError(StoreError):
    """The store has no such sweep, or it is deleted, or it is an experiment that is none."""

    http_status = 404


class DeniedError(StoreError):
    """The store is a server, and its user has not the right."""

    http_status = 403
