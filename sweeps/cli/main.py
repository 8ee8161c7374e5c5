"""The command ``dn``.

Exit codes: 0 done, 1 some of the work failed, 2 bad input; interrupted: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import shell_complete

from dn_distributed.errors import DropNeuronError
from dn_distributed.text import one_line, quoted
from sweeps.cli import options
from sweeps.console import logging_to, notify, out, prepare_streams
from sweeps.errors import SpecError
from sweeps.exit_codes import FAILED, INTERRUPTED

_COLLECT_RARELY = (100_000, 50, 50)
"""Nearly all that a command makes lives to its end: at Python's own pace a tenth of its time is looking at it again."""

_COMPLETE = "_DN_COMPLETE"
"""Where a shell asks for completions, as click has it: ``eval "$(_DN_COMPLETE=bash_source dn)"``."""

_VERBS = {
    "sweep": "sweep",
    "list": "list",
    "status": "status",
    "report": "report",
    "export": "export",
    "import": "import_",
    "measure": "measure",
    "compact": "compact",
    "ui": "ui",
    "server": "server",
}
"""The module of each verb. It imports at its top what its help needs, and the rest when it runs."""


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from dn_distributed import __version__

        out.say(f"dn {__version__}")
        context.exit()


class _Context(click.Context):
    """Prints help as all else is printed: its reader may go (``| head -1``)."""

    def get_help(self) -> str:
        """Print it and end here, as click would with what this returns."""
        out.say(super().get_help())
        self.exit()


class _Verbs(click.Group):
    """The verbs, each in a module that is imported when it is called."""

    context_class = _Context

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(_VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """Return the command of a verb. UsageError for any other name."""
        if name not in _VERBS:
            context.fail(f"argument VERB: invalid choice: {quoted(name)} (choose from {', '.join(_VERBS)})")
        command: click.Command = import_module(f"sweeps.cli.{_VERBS[name]}").command
        command.context_class = _Context
        return command


@click.group(
    cls=_Verbs,
    subcommand_metavar="VERB …",
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--log-file", type=options.PATH, metavar="FILE", help="Append every message to a file as well, with its time."
)
@click.option(
    "--log-level",
    type=click.Choice(["info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Show messages from this level on; 'info' is progress.",
)
@click.pass_context
def dn(context: click.Context, debug: bool, log_file: Path | None, log_level: str) -> None:
    """Compare regularisers on the DropNeuron experiments, from a sweep file to a table."""
    try:
        context.obj.enter_context(logging_to(log_file, log_level))
    except OSError as error:
        raise click.BadParameter(f"{log_file}: {error.strerror}", context, _parameter(context, "log_file")) from error


def _parameter(context: click.Context, name: str) -> click.Parameter:
    return next(parameter for parameter in context.command.params if parameter.name == name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dn`` and return its exit code."""
    prepare_streams()
    gc.set_threshold(*_COLLECT_RARELY)
    if asked := os.environ.get(_COMPLETE):
        return shell_complete(dn, {}, "dn", _COMPLETE, asked)
    with contextlib.ExitStack() as log:
        return _run(list(sys.argv[1:] if argv is None else argv), log)


def _run(words: Sequence[str], log: contextlib.ExitStack) -> int:
    """``log`` is closed at the end, when the last message has been printed."""
    debug = False
    try:
        with dn.make_context("dn", list(words), obj=log) as context:
            debug = context.params["debug"]
            return int(dn.invoke(context))
    except click.exceptions.Exit as after_help:
        return after_help.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else " ".join(["dn", *_verb_in(words)])
        notify(f"{_in_words(error)}; see {command} --help", logging.ERROR)
        return SpecError.exit_code
    except BaseException as error:
        if debug:
            raise
        return _code_of(error)


def _code_of(error: BaseException) -> int:
    """Say on one line what went wrong, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        notify("interrupted")
        return INTERRUPTED
    if isinstance(error, DropNeuronError):
        notify(str(error), logging.ERROR)
        return error.exit_code
    if isinstance(error, Exception):
        notify(
            f"{type(error).__name__}: {one_line(str(error))} (run again with --debug for the traceback)", logging.ERROR
        )
        return FAILED
    raise error


def _in_words(error: click.UsageError) -> str:
    """Return what is wrong with arguments as a phrase."""
    message = error.format_message().removesuffix(".")
    if isinstance(error, click.BadParameter):
        name = _name_of(error.param)
        missing = isinstance(error, click.MissingParameter)
        message = f"the following arguments are required: {name}" if missing else f"argument {name}: {error.message}"
    return f"{message[0].lower()}{message[1:]}"


def _name_of(parameter: Any) -> str:
    return "/".join(parameter.opts) if isinstance(parameter, click.Option) else str(parameter.metavar).rstrip("…")


def _verb_in(words: Sequence[str]) -> Sequence[str]:
    """Return the verb, if there is one: an option without its value is an error that does not know its command."""
    return [word for word in words if word in _VERBS][:1]
