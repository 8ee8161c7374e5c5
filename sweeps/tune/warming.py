"""Imports what packs need. Ray has its workers do so when they start, while the driver is busy with the store and Tune.

What fails here fails in a pack too, which reports it.
"""

import contextlib
import gc

gc.disable()  # what is imported stays: to look through it again and again takes a fifth of the time
with contextlib.suppress(Exception):
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    import sweeps.tune.trial  # noqa: F401
gc.freeze()
gc.enable()
