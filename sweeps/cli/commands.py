"""What the verbs of ``dn`` do that need the store."""

import argparse
import contextlib
import logging
import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich import progress
from rich.text import Text

from dn_distributed.data import Data
from sweeps.cli.disk import full_disk_told
from sweeps.cluster import connection
from sweeps.cluster.connection import Capacity
from sweeps.console import Output
from sweeps.ending import Ending
from sweeps.exit_codes import FAILED, OK
from sweeps.planning import plan as planning
from sweeps.planning.plan import Plan
from sweeps.spec import sweep as spec
from sweeps.spec.own_modules import own_modules
from sweeps.spec.sweep import Sweep
from sweeps.spec.yaml_file import SpecError
from sweeps.tune.progress import Progress, say
from sweeps.tune.runner import Runner, plan_from_store
from tracking.portable import exporting, importing
from tracking.portable.archive import Track
from tracking.results import cells, rows
from tracking.server import mlflow_process
from tracking.store import location as store
from tracking.store import runs, ui_view
from tracking.store.location import StoreLocation
from tracking.store.runs import State
from tracking.tables import formats, table

_LOOPBACK = "127.0.0.1"
_Item = TypeVar("_Item")


def sweep(arguments: argparse.Namespace, out: Output, ending: Ending) -> int:
    """``dn sweep``: plan, run what is missing, table."""
    loaded = _load(arguments)
    data = [planning.load_data(item, arguments.data_dir, download=not arguments.dry_run) for item in loaded]
    location = store.locate_answering(arguments.tracking_uri)
    slots = _slots(arguments)
    if arguments.dry_run:
        for item, its_data in zip(loaded, data, strict=True):
            _print_plan(_plan_of(item, its_data, location), slots, out)
        return OK
    if not arguments.debug:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # Ctrl-C and failures are told by us
    code = OK
    with contextlib.ExitStack() as stack:
        stack.enter_context(full_disk_told(location.scratch.parent, Path(tempfile.gettempdir())))
        store.prepare(location)
        capacity: Capacity | None = None
        for item, its_data in zip(loaded, data, strict=True):
            runner = Runner(
                item,
                its_data,
                location,
                modules=own_modules(arguments.imports),
                checkpoint_seconds=arguments.checkpoint_seconds,
                retry_failed=arguments.retry_failed,
                ending=ending,
            )
            plan = runner.plan()
            _print_plan(plan, slots, out)
            if plan.num_to_run and capacity is None:  # with nothing to run, Ray need not start
                capacity = stack.enter_context(
                    connection.connect(arguments.address, arguments.num_cpus, arguments.slots, ending)
                )
            after = runner.run(plan, capacity, Progress(out))
            if runner.interrupted:
                finished = after.count("finished")
                ending.tell_interrupted(f"{finished} of {after.total} replicates of {item.name} are in the store, ")
                return ending.code
            _print_table(runner, out)
            code = max(code, _verdict(after))
            if arguments.report:
                from sweeps.cli import reporting  # and Matplotlib, which a sweep without figures does not wait for

                reporting.write(location, item.name, arguments.report / item.name, arguments.data_dir, out)
    return code


def export(arguments: argparse.Namespace, out: Output) -> int:
    """``dn export``: a sweep as one file."""
    location = store.locate_existing(arguments.tracking_uri)
    done = exporting.export(location, arguments.name, arguments.file, _track(out), force=arguments.force)
    undecided = f"; {done.undecided} without a result are left out" * bool(done.undecided)
    why = "whose configuration this store does not know (of an earlier version, or deleted in the UI) are left out"
    unknown = f"; {done.unknown} {why}" * bool(done.unknown)
    out.say(f"{arguments.file}: {done.states.total()} replicates, {_ended(done.states)}{undecided}{unknown}")
    return OK


def import_file(arguments: argparse.Namespace, out: Output) -> int:
    """``dn import``: a sweep from one file."""
    done = importing.import_file(store.locate_answering(arguments.tracking_uri), arguments.file, _track(out), say)
    counts = f"{done.written.total()} replicates imported, {_ended(done.written)}; {done.present} were there already"
    out.say(f"{done.name}: {counts}")
    return OK


def _ended(states: Counter[State]) -> str:
    stopped = f", {states['stopped']} stopped early" * bool(states["stopped"])
    return f"{states['failed']} of them failed{stopped}"


def _track(out: Output) -> Track:
    """A bar on a terminal; silence where the output is piped."""

    def track(items: Sequence[_Item], what: str) -> Iterable[_Item]:
        return progress.track(items, what, console=out, transient=True, disable=not out.is_terminal)

    return track


def ui(arguments: argparse.Namespace, out: Output) -> int:
    """``dn ui``: MLflow's own server, on the loopback address."""
    location = store.locate_answering(arguments.tracking_uri)
    if location.database is None:
        out.say(f"the server at {location.uri} has its own UI:")
        _print_links(location, location.uri.rstrip("/"), out)
        return OK
    store.check_exists(location)
    mlflow_process.check_port_is_free(_LOOPBACK, arguments.port)
    names = mlflow_process.loopback_names(arguments.port)
    command = mlflow_process.command(_LOOPBACK, arguments.port, 1, names)
    assert location.artifacts is not None
    for option in ("--default-artifact-root", "--artifacts-destination"):
        command += [option, location.artifacts.as_uri()]
    with tempfile.TemporaryDirectory(prefix="dn-") as folder:
        if store.is_writable(location):
            store.prepare(location)
            shown = location
        else:
            shown = store.copy_into(Path(folder), location)
            say("the store can only be read: a copy is shown, as it is now, and what is changed in it is not kept")
        out.say(f"MLflow UI: http://{names[0]}  (Ctrl-C ends it)")
        _print_links(shown, f"http://{names[0]}", out)
        server = subprocess.Popen(command, env=mlflow_process.environment(shown.for_mlflow))
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # else it would outlive this command
        return server.wait()


def _print_links(location: StoreLocation, address: str, out: Output) -> None:
    """Where the UI opens each sweep on the comparison of its methods."""
    for experiment in store.connect(location).search_experiments():
        if ui_view.TAG in experiment.tags:
            link = ui_view.link(address, experiment.experiment_id)
            out.say(f"  {experiment.name}: {link}")


def _load(arguments: argparse.Namespace) -> list[Sweep]:
    loaded = [spec.load(path, arguments.overrides) for path in arguments.files]
    names = [item.name for item in loaded]
    for item in loaded:
        if names.count(item.name) > 1:
            raise SpecError(f"{item.path}: name: {item.name!r} is the name of another sweep file as well")
    return loaded


def _plan_of(item: Sweep, data: Data, location: StoreLocation) -> Plan:
    """The plan as the store stands, which is not touched. StoreError where the sweep was deleted from it."""
    found = runs.experiment_named(location, item.name) if store.exists(location) else None
    if found is None:
        return planning.make(item, data, {}, {})
    return plan_from_store(item, data, location, found)


def _slots(arguments: argparse.Namespace) -> Callable[[float], int] | None:
    """How many packs of so many CPUs run at once; None of a cluster that only joining it would tell of."""
    if arguments.slots is not None:
        return lambda cpu: int(arguments.slots)
    if arguments.address is not None:
        return None
    return lambda cpu: max(1, int((arguments.num_cpus or os.cpu_count() or 1) / cpu))


def _print_plan(plan: Plan, slots: Callable[[float], int] | None, out: Output) -> None:
    sweep = plan.sweep
    failed, stopped = plan.count("failed"), plan.count("stopped")
    drawn = sum(plan.open_samples.values())
    ended = f", {failed} failed" * bool(failed) + f", {stopped} stopped early" * bool(stopped)
    text = (
        f": {sweep.task.name} on {sweep.dataset.name}, {len(sweep.methods)} methods, "
        f"{len(plan.distinct)} cells, {len(sweep.seeds)} seeds: {plan.total} replicates; "
        f"{plan.count('finished')} done{ended}, {plan.num_to_run} to run"
        + (_packs_in_words(plan, slots) if plan.count(None, "incomplete") else "")
        + (f", {drawn} configurations still to be drawn" if drawn else "")
    )
    out.print(Text.assemble((sweep.name, "bold"), text), soft_wrap=True)
    for remark in plan.remarks:
        out.say(remark)


def _packs_in_words(plan: Plan, slots: Callable[[float], int] | None) -> str:
    if plan.measures_packs:
        return " in packs whose size is measured first"
    if slots is None:
        return " in packs that fit the cluster's room"
    return f" in {len(plan.packs(slots(plan.sweep.resources.cpu)))} packs"


def _print_table(runner: Runner, out: Output) -> None:
    _, manifest = runs.read_manifest(runner.location, runner.experiment_id)
    methods = cells.gather(manifest, rows.read(runner.location, runner.experiment_id))
    out.print(formats.terminal(table.build(manifest, methods)))


def _verdict(plan: Plan) -> int:
    """Say what is missing, if anything."""
    failed, left = plan.count("failed"), plan.num_to_run
    if failed:
        say(f"{plan.sweep.name}: {failed} replicates failed; the reasons are under the table")
    if left:
        say(f"{plan.sweep.name}: {left} replicates were lost with their workers; run the same command again")
    return FAILED if failed or left else OK
