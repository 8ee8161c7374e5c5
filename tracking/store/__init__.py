"""The store: where runs, their figures and their files are kept, found and written. All of MLflow's API is in here.

A ``location.StoreLocation`` says where a store is, a ``sweep_store.SweepStore`` is one sweep in it, and
``choice.queries_of`` reads runs.

To read runs there are three ways of one interface, ``queries``: ``sqlite`` in an embedded store's file, ``http`` with
a server that ``dn`` runs, ``client`` everywhere. To write them there are as many, ``run_writer``: ``sqlite_writer``,
``server_writer``, and MLflow's client. The runs of a sweep: ``report_run``, ``cell_runs``, ``replicate_runs``.
"""
