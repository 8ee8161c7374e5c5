"""What the verbs of ``dn`` do that need the store."""

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from sweeps import cluster, plan as planning, spec
from sweeps.plan import Plan
from sweeps.progress import Progress
from sweeps.runner import Runner, plan_from_store
from sweeps.spec import Sweep
from sweeps.yaml_file import SpecError
from tracking import cells, reader, render, report as reporting, store, tables, writer
from tracking.store import StoreLocation

OK, FAILED, INTERRUPTED = 0, 1, 130


def sweep(arguments: argparse.Namespace, out: Console) -> int:
    """``dn sweep``: plan, run what is missing, table."""
    loaded = _load(arguments)
    data = [planning.load_data(item, arguments.data_dir) for item in loaded]
    location = store.locate(arguments.tracking_uri)
    if arguments.dry_run:
        return _print_plans(arguments, loaded, location, out)
    store.prepare(location)
    if not arguments.debug:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # Ctrl-C and failures are told by us
    code = OK
    with cluster.connect(arguments.address, arguments.num_cpus) as capacity:
        for item, its_data in zip(loaded, data, strict=True):
            runner = Runner(
                item,
                its_data,
                location,
                checkpoint_seconds=arguments.checkpoint_seconds,
                retry_failed=arguments.retry_failed,
            )
            _print_plan(runner.plan(), out)
            after = runner.run(capacity, Progress(out))
            if runner.interrupted:
                done = after.count("finished")
                print(
                    f"dn: interrupted; {done} of {after.total} replicates of {item.name} are in the store, "
                    f"run the same command to go on",
                    file=sys.stderr,
                )
                return INTERRUPTED
            _print_table(runner, out)
            code = max(code, _verdict(after))
            if arguments.report:
                folder = arguments.report / item.name
                reporting.write(location, item.name, folder, planning.resolve_data_dir(arguments.data_dir))
                out.print(f"report: {folder / reporting.PAGE}", soft_wrap=True)
    return code


def status(arguments: argparse.Namespace, out: Console) -> int:
    """``dn status``: the plan of each sweep."""
    return _print_plans(arguments, _load(arguments), store.locate(arguments.tracking_uri), out)


def report(arguments: argparse.Namespace, out: Console) -> int:
    """``dn report``: tables, figures and one page."""
    location = store.locate(arguments.tracking_uri)
    if not store.exists(location):
        raise store.StoreError(f"there is no store at {location.database}; run `dn sweep FILE` in this folder first")
    page = reporting.write(location, arguments.name, arguments.out, planning.resolve_data_dir(arguments.data_dir))
    out.print(f"report: {page}", soft_wrap=True)
    return OK


def ui(arguments: argparse.Namespace, out: Console) -> int:
    """``dn ui``: MLflow's own server, on the loopback address."""
    location = store.locate(arguments.tracking_uri)
    if location.database is None:
        out.print(f"the server at {location.uri} has its own UI: open that address", soft_wrap=True)
        return OK
    if not store.exists(location):
        raise store.StoreError(f"there is no store at {location.database}; run `dn sweep FILE` in this folder first")
    out.print(f"MLflow UI: http://127.0.0.1:{arguments.port}/#/experiments?workflowType=machine_learning  (Ctrl-C ends it)", soft_wrap=True)  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", location.uri]
    command += ["--default-artifact-root", str(location.artifact_root), "--host", "127.0.0.1"]
    command += ["--port", str(arguments.port), "--workers", "1"]
    return subprocess.call(command, env=environment)


def _load(arguments: argparse.Namespace) -> list[Sweep]:
    loaded = [spec.load(path, arguments.overrides) for path in arguments.files]
    names = [item.name for item in loaded]
    for item in loaded:
        if names.count(item.name) > 1:
            raise SpecError(f"{item.path}: name: {item.name!r} is the name of another sweep file as well")
    return loaded


def _print_plans(
    arguments: argparse.Namespace, loaded: list[Sweep], location: StoreLocation, out: Console
) -> int:
    for item in loaded:
        data = planning.load_data(item, arguments.data_dir)
        client, experiment_id = None, None
        if store.exists(location):
            client = writer.client(location)
            found = client.get_experiment_by_name(item.name)
            experiment_id = found.experiment_id if found is not None else None
        _print_plan(plan_from_store(item, data, client, experiment_id), out)
    return OK


def _print_plan(plan: Plan, out: Console) -> None:
    sweep, resources = plan.sweep, plan.sweep.resources
    slots = max(1, int((os.cpu_count() or 1) / resources.cpu))
    failed, stopped = plan.count("failed"), plan.count("stopped")
    ended = f", {failed} failed" * bool(failed) + f", {stopped} stopped early" * bool(stopped)
    out.print(
        f"[bold]{sweep.name}[/]: {sweep.task.name} on {sweep.dataset.name}, {len(sweep.methods)} methods, "
        f"{len(plan.cells)} cells, {len(sweep.seeds)} seeds: {plan.total} replicates; "
        f"{plan.count('finished')} done{ended}, {plan.num_to_run} to run"
        + (f" in {len(plan.packs(slots))} packs" if plan.count(None, "incomplete") else ""),
        highlight=False,
        soft_wrap=True,
    )


def _print_table(runner: Runner, out: Console) -> None:
    _, manifest = reader.read_manifest(runner.store, runner.experiment_id)
    methods = cells.gather(manifest, reader.read(runner.store, runner.experiment_id))
    out.print(render.terminal(tables.build(manifest, methods)))


def _verdict(plan: Plan) -> int:
    """Say what is missing, if anything."""
    failed, left = plan.count("failed"), plan.num_to_run
    if failed:
        print(f"dn: {plan.sweep.name}: {failed} replicates failed; the reasons are under the table", file=sys.stderr)
    if left:
        print(
            f"dn: {plan.sweep.name}: {left} replicates were lost with their workers; run the same command again",
            file=sys.stderr,
        )
    return FAILED if failed or left else OK
