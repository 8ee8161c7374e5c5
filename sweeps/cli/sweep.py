"""``dn sweep``: plan, run what is missing, table."""

from typing import Any

import click

from sweeps.cli import options


@click.command("sweep")
@click.argument("files", nargs=-1, required=True, type=options.SWEEP_FILES, metavar="FILE…")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the file, as training.epochs=5 or methods.0.l1=1e-5. May be given several times.",
)
@options.data_dir
@options.imports
@options.tracking_uri
@click.option("--dry-run", is_flag=True, help="Print the plan and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print the plans as JSON.")
@click.option(
    "--address",
    metavar="ADDR",
    help="Join a running Ray cluster ('auto' or HOST:PORT) instead of starting Ray here.",
)
@click.option(
    "--slots",
    type=options.NUM_CPUS,
    metavar="N",
    help="Packs that the cluster runs at once when it has grown.  [default: what it has room for now, or what its "
    "launcher may start]",
)
@click.option("--num-cpus", type=options.NUM_CPUS, metavar="N", help="CPUs for a Ray started here.  [default: all]")
@click.option("--retry-failed", is_flag=True, help="Run what is recorded as failed again, and nothing else.")
@click.option(
    "--checkpoint-seconds",
    type=options.SECONDS,
    default=30.0,
    show_default=True,
    metavar="S",
    help="Least time between two checkpoints of a pack.",
)
@click.option(
    "--report", "report_dir", type=options.FOLDER, metavar="DIR", help="Write each sweep's report to DIR/NAME as well."
)
@click.pass_context
def command(context: click.Context, /, imports: tuple[str, ...], **values: Any) -> int:
    """Run what is missing of a sweep and print its table.

    Run what is missing of one or more sweeps, each described by a FILE in YAML, and print their tables. Running the
    same command again resumes; raising seeds runs only the new ones.
    """
    if values["as_json"] and not values["dry_run"]:
        raise click.UsageError("--json prints plans: give --dry-run as well")
    from sweeps.ending import Ending

    with Ending() as ending:
        try:
            from sweeps.cli import sweeping
            from sweeps.spec.own_modules import own_modules

            modules = own_modules(imports).load()
            chosen = sweeping.SweepOptions(modules=modules, debug=context.find_root().params["debug"], **values)
            return sweeping.sweep(chosen, ending)
        except KeyboardInterrupt:
            ending.tell_interrupted()
            return ending.code
