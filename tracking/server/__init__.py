"""The tracking server of a cluster: MLflow's server behind a login, its PostgreSQL, and what it refuses."""
