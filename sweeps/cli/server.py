"""``dn server``. It runs for weeks: neither Ray nor torch is in its memory."""

from pathlib import Path

import click

from sweeps.cli import options
from sweeps.console import notify, out
from sweeps.exit_codes import OK


@click.command("server")
@click.option(
    "--folder",
    type=options.FOLDER,
    default="dn-server",
    show_default="./dn-server",
    metavar="DIR",
    help="Folder for database, artifacts, secrets and logs; made if absent.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDR",
    help="Address to listen on. One that other machines reach needs a password and --allowed-hosts.",
)
@click.option("--port", type=options.PORT, default=5000, show_default=True, metavar="N", help="Port to listen on.")
@click.option(
    "--allowed-hosts",
    metavar="NAME[:PORT],…",
    help="The names by which clients may call the server; by others it does not answer.  [default: those of this "
    "machine for itself]",
)
@click.option(
    "--artifacts",
    metavar="DEST",
    help="Where artifacts are kept: a folder, or s3://BUCKET/PREFIX with boto3's usual credentials.  "
    "[default: DIR/artifacts]",
)
@click.option(
    "--workers", type=options.NUM_WORKERS, default=2, show_default=True, metavar="N", help="Processes that answer."
)
def command(folder: Path, host: str, port: int, allowed_hosts: str | None, artifacts: str | None, workers: int) -> int:
    """Run the tracking server of a cluster.

    Run an MLflow server until Ctrl-C, with a PostgreSQL of its own and artifacts that pass through it, and start again
    what ends. DN_SERVER_PASSWORD_FILE names a file with the password of the user DN_SERVER_USER (default: admin);
    without it nobody need log in, and only this machine can be served. DN_DATABASE_URL names a PostgreSQL to use
    instead; its password may be in DN_DATABASE_PASSWORD_FILE.
    """
    from tracking.server import supervisor

    wanted = supervisor.settings(
        folder, host=host, port=port, workers=workers, allowed_hosts=allowed_hosts, artifacts=artifacts
    )
    if out.is_terminal:
        out.say("starting; it can take a minute")
    supervisor.run(wanted, out.say, notify)
    return OK
