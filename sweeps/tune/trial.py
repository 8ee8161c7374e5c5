"""One Tune trial: the training of a pack as Ray Tune sees it, step by step, and what becomes of its errors.

The class form of a trainable: an early stop ends it between steps, and a worker that is reused for the next
trial starts from ``setup`` again, so nothing can leak.
"""

import math
import socket
from typing import Any

from mlflow.exceptions import MlflowException
from ray import tune
from ray.exceptions import RayError
from safetensors import SafetensorError

from dn_distributed.text import with_class
from sweeps.tune.context import PickledContext, TrialContext
from sweeps.tune.memory import is_out_of_memory, release_device_memory
from sweeps.tune.pack_config import pack_of
from sweeps.tune.pack_training import PackTraining
from sweeps.tune.search import OBJECTIVE, SIZE
from tracking.errors import StoreError
from tracking.store import outages


class PackTrial(tune.Trainable):
    """Trains the replicates of one pack; each ``step`` is about a second, or an epoch."""

    _context: TrialContext

    def setup(self, config: dict[str, Any], pickled_context: PickledContext | None = None) -> None:
        """Prepare a pack. Called at the start of every trial, in a fresh or a reused worker."""
        self._pickled_context = pickled_context
        self._config = config
        self._training: PackTraining | None = None
        self._notes: list[str] = []
        self._retried = False
        self._done = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start over for the next trial in the same worker."""
        self._flush()
        self.setup(new_config)
        release_device_memory()
        return True

    def step(self) -> dict[str, Any]:
        """Train until there is something to report; log every epoch on the way."""
        try:
            self._load_context()
        except (Exception, SystemExit) as error:  # a module is missing or does not load here
            return self._cannot_start(error)
        try:
            return self._result(self._train())
        except (
            MlflowException,
            StoreError,
            OSError,
            SafetensorError,
            RayError,
        ) as error:  # the store, a disk, the driver's node
            if isinstance(error, RayError) or outages.is_transient(error):
                raise  # Tune tries the pack again, from its last checkpoint
            return self._retry_once(outages.reason(error))
        except Exception as error:  # the same would happen again: it is recorded, and the sweep goes on
            return self._fail(error)

    def _train(self) -> dict[str, Any]:
        if self._training is None or self._training.trainer is None:
            pack = pack_of(self._config, self._context)
            self._training = PackTraining(self._context, pack)
            if pack.cell.baseline is not None:
                return self._training.fit_baseline(pack.cell.baseline)
            self._training.start(self._note)
        return self._training.advance()

    def _load_context(self) -> None:
        """Unpickle what the driver has sent, at the first step."""
        if self._pickled_context is not None:
            self._context, self._pickled_context = self._pickled_context.load(), None

    def _retry_once(self, reason: str) -> dict[str, Any]:
        """The store refuses a write, and would again: a run that was deleted meanwhile is made anew, once."""
        self._drop_trainer()
        if self._retried:
            self._training = None  # nothing more is written
            return self._result({"done": True, "refused": reason})
        self._retried = True
        self._note(f"begun again, from its last checkpoint: {reason}")
        return self._result({"done": False})

    def _fail(self, error: Exception) -> dict[str, Any]:
        """Let the driver halve a pack that has no room in memory; record any other error for its replicates."""
        training = self._training
        if is_out_of_memory(error) and training is not None and len(training.runs) > 1:
            self._drop_trainer()  # its memory is needed
            release_device_memory()
            return self._result({"done": True, "out_of_memory": True})
        if training is None:  # no run is open that could say it
            return self._cannot_start(error)
        return self._result(training.fail(with_class(error)))

    def _cannot_start(self, error: BaseException) -> dict[str, Any]:
        """Have the driver end the sweep: so it would be with every pack in this worker."""
        return self._result({"done": True, "cannot_start": f"{socket.gethostname()}: {with_class(error)}"})

    def _drop_trainer(self) -> None:
        if self._training is not None:
            self._training.trainer = None

    def _note(self, text: str) -> None:
        """Have the driver print a line for the user with the next result."""
        self._notes.append(text)

    def _result(self, result: dict[str, Any]) -> dict[str, Any]:
        """What the driver sees: progress, and the mean of the task's first score on validation data."""
        progress = self._training.progress() if self._training is not None else {}
        notes, self._notes = self._notes, []
        self._done = bool(result.get("done"))
        return {"epoch": 0, "num_epochs": 1, OBJECTIVE: math.nan, SIZE: math.nan, "notes": notes, **result, **progress}

    def cleanup(self) -> None:
        """The worker ends here: where that is in the midst of a pack, the next command goes on from this step."""
        if self._training is not None and not self._done:
            self._training.save_unfinished()
        self._flush()

    def _flush(self) -> None:
        """The trial has ended, perhaps early: what its replicates have logged must not be lost."""
        if self._training is not None:
            self._training.flush()
