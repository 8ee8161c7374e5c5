"""The command ``dn``.

Exit codes: 0 done, 1 some of the work failed, 2 bad input; interrupted: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""

import argparse
import gc
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dn_distributed.errors import DropNeuronError
from dn_distributed.files import check_folder
from dn_distributed.text import one_line, quoted
from sweeps.console import Output, prepare_streams, tell
from sweeps.exit_codes import FAILED, INTERRUPTED, OK
from sweeps.spec.own_modules import own_modules
from sweeps.spec.yaml_file import SpecError

_COLLECT_RARELY = (100_000, 50, 50)
"""Nearly all that a command makes lives to its end: at Python's own pace a tenth of its time is looking at it again."""

_out = Output()


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dn`` and return its exit code."""
    prepare_streams()
    try:
        arguments = _parser().parse_args(argv)
    except SpecError as error:
        tell(str(error))
        return error.exit_code
    gc.set_threshold(*_COLLECT_RARELY)
    if arguments.debug:
        return int(arguments.run(arguments))
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED
    except DropNeuronError as error:
        tell(str(error))
        return error.exit_code
    except Exception as error:
        tell(f"{type(error).__name__}: {one_line(str(error))} (run again with --debug for the traceback)")
        return FAILED


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with arguments as with any other input: on one line, by an error."""

    def error(self, message: str) -> NoReturn:
        """Raise a SpecError."""
        raise SpecError(f"{message}; see {self.prog} --help")


def _path(text: str) -> Path:
    """A path; ``~`` at its beginning is the home, also where a shell has left it (``--out=~/x``)."""
    return Path(os.path.expanduser(text))


def _folder(text: str) -> Path:
    """A folder to write to, which is made when it is needed: whether that can be is known now."""
    path = _path(text)
    try:
        check_folder(path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error
    return path


def _whole(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number of a range."""

    def read(text: str) -> int:
        try:
            value = int(text) if len(text) < 20 else high + 1
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, not {quoted(text)}")
        return value

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or more, not {quoted(text)}")
    return value


_port = _whole(1, 65535)
_MOST_CPUS, _MOST_WORKERS = 100_000, 1000


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dn",
        description="Compare regularisers on the DropNeuron experiments, from a sweep file to a table.",
    )
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_sweep(verbs)
    _add_status(verbs)
    _add_report(verbs)
    _add_export(verbs)
    _add_import_of_file(verbs)
    _add_measure(verbs)
    _add_ui(verbs)
    _add_server(verbs)
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="Address of an MLflow server (http://HOST:PORT). Default: $DN_TRACKING_URI, else the folder ./dn-store "
        "is the store.",
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=_path, metavar="FILE", help="Sweep file (YAML).")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="Override a key of the file, as training.epochs=5 or methods.0.l1=1e-5. May be given several times.",
    )
    parser.add_argument(
        "--data-dir",
        type=_path,
        metavar="DIR",
        help="Folder of the image datasets, in torchvision's layout. Default: $DN_DATA_DIR, else ./data.",
    )
    _add_import(parser)
    _add_store(parser)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        action="append",
        default=[],
        metavar="MODULE",
        dest="imports",
        help="Python module to import first: it registers tasks of your own.",
    )


def _add_sweep(verbs: Any) -> None:
    parser = verbs.add_parser(
        "sweep",
        help="Run what is missing of a sweep and print its table.",
        description="Run what is missing of one or more sweeps and print their tables. "
        "Running the same command again resumes; raising seeds runs only the new ones.",
    )
    _add_files(parser)
    parser.add_argument("--dry-run", action="store_true", help="Print the plan and run nothing.")
    parser.add_argument(
        "--address",
        metavar="ADDR",
        help="Join a running Ray cluster ('auto' or HOST:PORT) instead of starting Ray here.",
    )
    parser.add_argument(
        "--slots",
        type=_whole(1, _MOST_CPUS),
        metavar="N",
        help="Packs that the cluster runs at once when it has grown. Default: what it has room for now, or what its "
        "launcher may start.",
    )
    parser.add_argument(
        "--num-cpus", type=_whole(1, _MOST_CPUS), metavar="N", help="CPUs for a Ray started here. Default: all."
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="Run what is recorded as failed again, and nothing else."
    )
    parser.add_argument(
        "--checkpoint-seconds",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="Least time between two checkpoints of a pack. Default: 30.",
    )
    parser.add_argument("--report", type=_folder, metavar="DIR", help="Write each sweep's report to DIR/NAME as well.")
    parser.set_defaults(run=_sweep)


def _add_status(verbs: Any) -> None:
    parser = verbs.add_parser(
        "status",
        help="Print how far a sweep is.",
        description="Print what of a sweep is done, running, left and failed, and why, from the store alone: any "
        "machine that reaches it can ask. Exit code 1 where replicates have failed. For the plan of a file: "
        "dn sweep FILE --dry-run.",
    )
    parser.add_argument("name", metavar="NAME", help="Name of the sweep, as its file says.")
    parser.add_argument("--watch", action="store_true", help="Keep printing until the sweep is complete.")
    _add_store(parser)
    parser.set_defaults(run=_status)


def _add_report(verbs: Any) -> None:
    parser = verbs.add_parser(
        "report",
        help="Write tables, figures and one self-contained page about a sweep.",
        description="Compute tables and figures of a sweep from the store alone, write them to a folder, and attach "
        "them to the sweep's report run.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("name", metavar="NAME", nargs="?", help="Name of the sweep, as its file says.")
    source.add_argument(
        "--from",
        type=_path,
        metavar="ROWS",
        dest="rows",
        help="Rebuild the tables from the rows.json of an earlier report instead; needs no store.",
    )
    parser.add_argument("--out", type=_folder, required=True, metavar="DIR", help="Folder to write to; made if absent.")
    parser.add_argument(
        "--data-dir", type=_path, metavar="DIR", help="As for dn sweep: reconstructions need the images."
    )
    _add_import(parser)
    _add_store(parser)
    parser.set_defaults(run=_report)


def _add_export(verbs: Any) -> None:
    parser = verbs.add_parser(
        "export",
        help="Write a sweep to one file, for another store.",
        description="Write what the store holds of a sweep to one zip file: figures, curves, weights, masks and "
        "pictures of every replicate that is decided. `dn import` adds it to another store.",
    )
    parser.add_argument("name", metavar="NAME", help="Name of the sweep, as its file says.")
    parser.add_argument("file", type=_path, metavar="FILE", help="Zip file to write.")
    parser.add_argument("--force", action="store_true", help="Replace FILE if it is there already.")
    _add_store(parser)
    parser.set_defaults(run=_export)


def _add_import_of_file(verbs: Any) -> None:
    parser = verbs.add_parser(
        "import",
        help="Add a sweep from a file of dn export to the store.",
        description="Add the replicates of a file that `dn export` wrote to the store. The file is checked whole "
        "before anything is written. What the store holds already stays as it is; interrupted, run it again.",
    )
    parser.add_argument("file", type=_path, metavar="FILE", help="Zip file of `dn export`.")
    _add_import(parser)
    _add_store(parser)
    parser.set_defaults(run=_import_file)


def _add_measure(verbs: Any) -> None:
    parser = verbs.add_parser(
        "measure",
        help="Measure the sparsity of any fully connected weights.",
        description="Count what pruning leaves of consecutive fully connected layers in a safetensors file.",
    )
    parser.add_argument("file", type=_path, metavar="FILE", help="Weights (safetensors).")
    parser.add_argument(
        "--layers",
        required=True,
        metavar="A,B,C",
        help="Tensors [out, in] in forward order, separated by commas.",
    )
    parser.add_argument(
        "--threshold", type=float, required=True, metavar="T", help="Weights with |w| < T count as zero."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.set_defaults(run=_measure)


def _add_ui(verbs: Any) -> None:
    parser = verbs.add_parser(
        "ui",
        help="Open the MLflow UI on the store, on this machine only.",
        description="Serve the MLflow UI of the embedded store on the loopback address until Ctrl-C.",
    )
    parser.add_argument("--port", type=_port, default=5000, metavar="N", help="Port on 127.0.0.1. Default: 5000.")
    _add_store(parser)
    parser.set_defaults(run=_ui)


def _add_server(verbs: Any) -> None:
    parser = verbs.add_parser(
        "server",
        help="Run the tracking server of a cluster: MLflow's, with PostgreSQL behind it.",
        description="Run an MLflow server until Ctrl-C, with a PostgreSQL of its own and artifacts that pass through "
        "it, and start again what ends. DN_SERVER_PASSWORD_FILE names a file with the password of the user "
        "DN_SERVER_USER (default: admin); without it nobody need log in, and only this machine can be served. "
        "DN_DATABASE_URL names a PostgreSQL to use instead; its password may be in DN_DATABASE_PASSWORD_FILE.",
    )
    parser.add_argument(
        "--folder",
        type=_folder,
        default=Path("dn-server"),
        metavar="DIR",
        help="Folder for database, artifacts, secrets and logs; made if absent. Default: ./dn-server.",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDR",
        help="Address to listen on. One that other machines reach needs a password and --allowed-hosts. "
        "Default: 127.0.0.1.",
    )
    parser.add_argument("--port", type=_port, default=5000, metavar="N", help="Port to listen on. Default: 5000.")
    parser.add_argument(
        "--allowed-hosts",
        metavar="NAME[:PORT],…",
        help="The names by which clients may call the server; by others it does not answer. "
        "Default: those of this machine for itself.",
    )
    parser.add_argument(
        "--artifacts",
        metavar="DEST",
        help="Where artifacts are kept: a folder, or s3://BUCKET/PREFIX with boto3's usual credentials. "
        "Default: DIR/artifacts.",
    )
    parser.add_argument(
        "--workers", type=_whole(1, _MOST_WORKERS), default=2, metavar="N", help="Processes that answer. Default: 2."
    )
    parser.set_defaults(run=_server)


def _sweep(arguments: argparse.Namespace) -> int:
    from sweeps.ending import Ending

    with Ending() as ending:
        try:
            from sweeps.cli import commands

            own_modules(arguments.imports).load()
            return commands.sweep(arguments, _out, ending)
        except KeyboardInterrupt:
            ending.tell_interrupted()
            return ending.code


def _status(arguments: argparse.Namespace) -> int:
    from sweeps.cli import watch

    return watch.status(arguments, _out)


def _report(arguments: argparse.Namespace) -> int:
    from sweeps.cli import reporting

    own_modules(arguments.imports).load()
    return reporting.report(arguments, _out)


def _export(arguments: argparse.Namespace) -> int:
    from sweeps.cli import commands

    return commands.export(arguments, _out)


def _import_file(arguments: argparse.Namespace) -> int:
    from sweeps.cli import commands

    own_modules(arguments.imports).load()
    return commands.import_file(arguments, _out)


def _ui(arguments: argparse.Namespace) -> int:
    from sweeps.cli import commands

    return commands.ui(arguments, _out)


def _server(arguments: argparse.Namespace) -> int:
    from tracking.server import supervisor  # by itself, as it runs for weeks: neither Ray nor torch is in its memory

    wanted = supervisor.settings(
        arguments.folder,
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        allowed_hosts=arguments.allowed_hosts,
        artifacts=arguments.artifacts,
    )
    if _out.is_terminal:
        _out.say("starting; it can take a minute")
    supervisor.run(wanted, _out.say, tell)
    return OK


def _measure(arguments: argparse.Namespace) -> int:
    from dn_distributed.measure import measure

    result = measure(arguments.file, arguments.layers.split(","), arguments.threshold)
    if arguments.json:
        _out.say(json.dumps(result))
        return OK
    for layer in result["layers"]:
        shape = "×".join(str(size) for size in layer["shape"])
        counts = f"{layer['num_nonzero']} of {layer['num_weights']} weights left"
        _out.say(f"{layer['name']} ({shape}): {counts}, density {layer['density']:.4%}")
    rate = result["compression_rate"]
    _out.say(
        f"total: {result['num_nonzero']} of {result['num_weights']} weights left, density {result['density']:.4%}, "
        f"compression rate {'none left' if rate is None else f'{rate:.2f}'}"
    )
    for unit in result["neurons"]:
        _out.say(f"neurons {unit['name']}: {unit['alive']} alive, {unit['published']} as published, of {unit['total']}")
    totals = (result["neurons_alive"], result["neurons_published"], result["neurons_total"])
    _out.say("neurons: {} alive, {} as published, of {}".format(*totals))
    dense = result["dense_compression"]
    _out.say(
        f"without its dead neurons: a dense network of {result['dense_size']} weights, "
        f"compression rate {'none left' if dense is None else f'{dense:.2f}'}"
    )
    return OK
