"""One Tune experiment: packs that are planned, or configurations of a method that Optuna proposes."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dn_distributed.data import Data
from sweeps.ending import Ending
from sweeps.planning.plan import Pack
from sweeps.spec.own_modules import OwnModules
from sweeps.spec.sweep import Method, Sweep
from sweeps.tune import pack_config
from sweeps.tune.checkpoints import CheckpointFolder, Checkpoints, RemoteCheckpoints
from sweeps.tune.progress import Progress
from sweeps.tune.recording import Recording
from sweeps.tune.round import Round
from sweeps.tune.search import OBJECTIVE, optuna_search, pack_list, scheduler_of
from tracking.results.cells import CellResult
from tracking.store.sweep_store import SweepStore

if TYPE_CHECKING:
    from sweeps.tune.context import TrialContext

MAX_FAILURES = 3
"""Times a pack is taken up again at once after its worker, its node or the store went away."""


class Experiments:
    """Tune's experiments of one sweep: what all of them share, and how one is run."""

    def __init__(
        self,
        sweep: Sweep,
        data: Data,
        sweep_store: SweepStore,
        recording: Recording,
        *,
        modules: OwnModules,
        checkpoint_seconds: float,
        ending: Ending,
    ) -> None:
        """``modules``: workers import them first. ``ending``: knows whether a signal has come."""
        self.interrupted = False
        """Whether a signal ended one: no other begins."""
        self.at_every_step: Callable[[], None] = lambda: None
        """Called whenever Tune turns to its trials."""
        self._sweep, self._data, self._sweep_store, self._recording = sweep, data, sweep_store, recording
        self._modules, self._checkpoint_seconds, self._ending = modules, checkpoint_seconds, ending
        self._folder = CheckpointFolder(self.scratch / "checkpoints")
        self._checkpoints: Checkpoints = self._folder

    @property
    def scratch(self) -> Path:
        """Folder of what is of no use once the sweep is complete."""
        return self._sweep_store.location.scratch / self._sweep.name

    def use_nodes(self) -> None:
        """Let packs on other machines reach the checkpoints of this one."""
        self._checkpoints = RemoteCheckpoints(self._folder)

    def run_packs(self, packs: Sequence[Pack], progress: Progress, *, judged: bool) -> Round:
        """Run these packs, and return what became of them. ``judged``: by the sweep's scheduler, if it has one."""
        if self.interrupted or not packs:
            return Round()
        context, space = self.context(None), {pack_config.PACK: ""}
        return self._run(
            len(packs),
            context,
            progress,
            param_space=space,
            judged=judged,
            num_samples=len(packs),
            search_alg=pack_list(packs),
        )

    def search(self, method: Method, samples: int, tried: Sequence[CellResult], progress: Progress) -> Round:
        """Run configurations that Optuna proposes, each a pack of all seeds. ``tried``: cells of the method so far."""
        context = self.context(method.label)
        algorithm = optuna_search(self._sweep, method, self._data, tried)
        return self._run(samples, context, progress, num_samples=samples, search_alg=algorithm)

    def _run(
        self,
        num_trials: int,
        context: "TrialContext",
        progress: Progress,
        param_space: dict[str, Any] | None = None,
        judged: bool = True,
        **search: Any,
    ) -> Round:
        from ray import tune

        from sweeps.cluster.ray_internals import losing_only_packs
        from sweeps.tune.callbacks import DriverCallback, StoppedError
        from sweeps.tune.context import PickledContext
        from sweeps.tune.trial import PackTrial

        resources = self._sweep.resources
        callback = DriverCallback(progress, self._pack_ended, context, self.at_every_step, self._ending)
        trainable = tune.with_parameters(PackTrial, pickled_context=PickledContext.of(context))
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            param_space=param_space,
            tune_config=self._tune_config(judged, **search),
            run_config=tune.RunConfig(
                name=time.strftime("%Y%m%d-%H%M%S"),
                storage_path=str(self.scratch),
                verbose=0,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # packs keep their own
            ),
        )
        self._ending.deferred = True  # in Tune's loop the callback sees a signal
        try:
            with losing_only_packs():
                tuner.fit()
        except StoppedError:
            pass
        finally:
            self._ending.deferred = False
        callback.check()
        self.interrupted = self._ending.number is not None or len(callback.round.ended) < num_trials
        return callback.round

    def _tune_config(self, judged: bool, **search: Any) -> Any:
        from ray import tune

        selection = self._sweep.selection
        return tune.TuneConfig(
            metric=OBJECTIVE,
            mode="max" if selection is not None and selection.higher_is_better else "min",
            scheduler=scheduler_of(self._sweep.search) if judged else None,
            reuse_actors=True,
            **search,
        )

    def _pack_ended(self, pack: Pack, result: Mapping[str, Any]) -> str:
        self._checkpoints.remove(pack.key)
        return self._recording.pack_ended(pack, result)

    @cached_property
    def _arrays(self) -> Any:
        """The data in Ray's object store: rounds and searches are many, and each node fetches them once."""
        from sweeps.tune.context import share_arrays

        return share_arrays(self._data)

    def context(self, adaptive_label: str | None) -> "TrialContext":
        """Return what every trial needs. ``adaptive_label``: the method that Optuna searches, if it does."""
        from sweeps.tune.context import TrialContext

        sweep, selection = self._sweep, self._sweep.selection
        return TrialContext(
            modules=self._modules,
            sweep=sweep,
            data=dataclasses.replace(self._data, shared=None),
            arrays=self._arrays,
            sweep_store=self._sweep_store,
            cell_run_ids=self._recording.cell_run_ids,
            adaptive_label=adaptive_label,
            device="cuda" if sweep.resources.gpu else "cpu",
            threads=max(1, int(sweep.resources.cpu)),
            objective=selection.objective if selection else None,
            every_epoch=sweep.has_scheduler,
            checkpoints=self._checkpoints,
            checkpoint_seconds=self._checkpoint_seconds,
        )
