"""What is run, and where: sweep files, plans, Ray Tune, and the command ``dn``."""

import os

from dn_distributed.installation import stranger

if (_line := stranger()) is not None:
    raise ImportError(_line)

_RAY_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow is the record
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # a sweep resumes from the store: Tune's own state grows with every pack
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: Tune prints nothing
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # sweeps/ending.py
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    # Ray listens on all interfaces, whatever it is told; without a token, others could run code here.
    "RAY_AUTH_MODE": "token",
}

# Ray reads them when it is imported, so they are set before any module of this package can do that.
for _name, _value in _RAY_SETTINGS.items():
    os.environ.setdefault(_name, _value)
