"""The `towline` command: its parts, and what becomes of errors, one line on stderr (exit code 1 or 2)."""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from towline import (
    __version__,
    cli_admin,
    cli_audit,
    cli_dead_letters,
    cli_export,
    cli_labels,
    cli_page,
    cli_run,
    cli_search,
    cli_try,
)
from towline.config import LOG_LEVEL
from towline.errors import TowlineError
from towline.terminal import escape

INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended."""


class Commands(click.Group):
    """A group that tells errors in one line, and is quiet when the reader of its output goes away."""

    def main(self, *arguments: Any, **settings: Any) -> NoReturn:
        """Run the command line given as `args` (default: the process's own) and exit."""
        sys.exit(self._code(*arguments, **{**settings, "standalone_mode": False}))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C and a reader that goes away end it before click can say anything about them."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _silence()
            return 0
        except KeyboardInterrupt:
            return INTERRUPTED
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def _code(self, *arguments: Any, **settings: Any) -> int:
        try:
            code = super().main(*arguments, **settings)
            return code if isinstance(code, int) else 0
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            return _fail(_usage(error), error.exit_code)
        except TowlineError as error:
            return _fail(str(error), error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            return INTERRUPTED
        except OSError as error:
            return _fail(_system(error), 1) if error.filename else _unknown(error)
        except Exception as error:
            return _unknown(error)


def _usage(error: click.ClickException) -> str:
    text = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{text.rstrip('.')}; see {context.command_path} --help" if context else text


def _system(error: OSError) -> str:
    """What the operating system refused, where nothing nearer to it knew a better text."""
    hint = "; run as its owner or change its rights" if isinstance(error, PermissionError) else ""
    return f"{error.filename}: {(error.strerror or str(error)).lower()}{hint}"


def _fail(text: str, code: int) -> int:
    click.echo("towline: " + escape(" ".join(text.split())), err=True)
    return code


def _unknown(error: Exception) -> int:
    """A mistake of ours, or something nobody thought of."""
    debug = os.environ.get(LOG_LEVEL.variable) == "debug" or logging.getLogger().isEnabledFor(logging.DEBUG)
    if debug:
        logging.getLogger("towline").error("unexpected error", exc_info=error)
    hint = "" if debug else f"; run again with {LOG_LEVEL.variable}=debug for details"
    return _fail(f"unexpected error: {type(error).__name__}: {error}{hint}", 1)


def _silence() -> None:
    """Python flushes stdout once more at exit; let that go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@click.group(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "TOWLINE", "max_content_width": 100},
)
@click.version_option(__version__, prog_name="towline", message="%(prog)s %(version)s")
def cli() -> None:
    """Container logs of Docker: collected, every line once, searchable.

    \b
    towline check                      is this machine ready?
    towline up                         collect and serve, until Ctrl-C
    towline search 'timeout' -s web    what was written, newest last
    towline tail                       what is being written

    Every option can also be set in the environment; `towline config` lists the names.
    """


for _command in (
    *cli_run.COMMANDS,
    *cli_export.COMMANDS,
    *cli_search.COMMANDS,
    *cli_page.COMMANDS,
    *cli_labels.COMMANDS,
    *cli_try.COMMANDS,
    *cli_audit.COMMANDS,
    *cli_dead_letters.COMMANDS,
    *cli_admin.COMMANDS,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    cli.main(args=arguments, prog_name="towline")
