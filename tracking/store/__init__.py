"""The store: where runs, their figures and their files are kept, found and written. All of MLflow's API is in here."""
