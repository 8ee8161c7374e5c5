"""The tracking server of a cluster: MLflow's server behind a login, its PostgreSQL, and what it refuses.

``supervisor.settings`` reads options and environment and refuses what would be open to others; ``supervisor.run``
serves until a signal.
"""
