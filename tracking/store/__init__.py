"""The store: where runs, their figures and their files are kept, found and written. All of MLflow's API is in here.

A ``StoreLocation`` says where a store is, a ``SweepStore`` is one sweep in it, and ``queries_of`` reads runs.
"""

from typing import TYPE_CHECKING

from dn_distributed.lazy_names import lazy_names

if TYPE_CHECKING:
    from tracking.store.choice import queries_of as queries_of
    from tracking.store.location import StoreLocation as StoreLocation
    from tracking.store.queries import RunQueries as RunQueries
    from tracking.store.queries import StoredRun as StoredRun
    from tracking.store.sweep_store import SweepStore as SweepStore

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "choice": ("queries_of",),
        "location": ("StoreLocation",),
        "queries": ("RunQueries", "StoredRun"),
        "sweep_store": ("SweepStore",),
    },
)
