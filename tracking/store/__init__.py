"""The store: where runs, their figures and their files are kept, found and written. All of MLflow's API is in here.

A ``location.StoreLocation`` says where a store is, a ``sweep_store.SweepStore`` is one sweep in it, and
``choice.queries_of`` reads runs.
"""
