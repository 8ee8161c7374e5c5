"""What Ray is to do and leave undone here, in its environment variables; what a user has set stays."""

import os

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow is the record
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # a sweep resumes from the store: Tune's own state grows with every pack
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: Tune prints nothing
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # sweeps/ending.py
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    # Ray listens on all interfaces, whatever its settings; without a token, others could run code here.
    "RAY_AUTH_MODE": "token",
}


def apply() -> None:
    """Set them. Some are read when Ray is imported, so this comes before."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
