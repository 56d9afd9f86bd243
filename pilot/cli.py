"""The command line: one table of commands (pilot/commands.py), one parser, one way to fail.

Owns: `tallygrid --help`, the options every command has, exit codes, what an error looks like.
Refuses: importing a command's module before that command is asked for.
Invariant: with --json stdout holds one JSON value and nothing else, also when the command fails.
"""

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pilot import __version__, places
from pilot.commands import COMMANDS, GROUPS, Command, find
from pilot.errors import Unavailable
from wire.errors import WireError

FAILED, USAGE, UNAVAILABLE, FAULT, INTERRUPTED = 1, 2, 69, 70, 130


def overview() -> str:
    """The text of `tallygrid --help`: every command, grouped by who uses it."""
    lines = ["usage: tallygrid [--version] COMMAND [--data DIR] [--json] ...", "       tallygrid COMMAND --help"]
    width = max(len(command.name) for command in COMMANDS)
    for group in GROUPS:
        rows = [command for command in COMMANDS if command.group == group]
        if rows:
            lines += ["", group]
            lines += [f"  {command.name:<{width}}  {command.help}" for command in rows]
    lines += ["", "Data lies in --data, or $TALLYGRID_DATA; here by default in:"]
    lines += [f"  {places.user_data()} (services and tools)", f"  {places.data('engineer')} (engineer's commands)"]
    return "\n".join(lines) + "\n"


class Usage(Exception):
    """The command line itself is wrong."""


class Parser(argparse.ArgumentParser):
    """Leaves the way all failures leave, so that --json keeps its promise here too."""

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}\n{self.format_usage().strip()}")


def parser_for(command: Command) -> argparse.ArgumentParser:
    module = importlib.import_module(command.module)
    parser = Parser(prog=f"tallygrid {command.name}", description=command.help, allow_abbrev=False)
    parser.add_argument("--data", metavar="DIR", type=Path, default=places.data(command.group), help="where data lies")
    parser.add_argument("--json", action="store_true", help="one JSON value on stdout, the rest on stderr")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run, takes_rest=getattr(module, "TAKES_REST", False))
    return parser


def parse(command: Command, words: Sequence[str]) -> argparse.Namespace:
    """The command's arguments; those it does not know go to `args.rest` where its module says TAKES_REST."""
    parser = parser_for(command)
    args, rest = parser.parse_known_args(words)
    if rest and not args.takes_rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.rest = rest
    return args


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        return 0 if words else USAGE
    if words[0] == "--version":
        print(f"tallygrid {__version__}")
        return 0
    ahead, words = _split(words)
    command = find(words[0]) if words else None
    if command is None:
        names = ", ".join(each.name for each in COMMANDS)
        wrong = f"no command {' '.join(words[:1])!r}; there are: {names}"
        return _fail("--json" in ahead + words, wrong, USAGE)
    return _guarded(command, ahead + words[1:])


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Let the common options stand before the command too."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] == "--data" else 1
    return words[:at], words[at:]


def command_word(words: Sequence[str]) -> str:
    """The command's name in a line of arguments, or nothing."""
    _, rest = _split(list(words))
    return rest[0] if rest else ""


def _guarded(command: Command, words: list[str]) -> int:
    """Run one command; this is the top of the process, so every failure ends here in words and an exit code."""
    json_wanted = "--json" in words
    try:
        args = parse(command, words)
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("tallygrid: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; keep the interpreter from complaining once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Usage as wrong:
        return _fail(json_wanted, str(wrong), USAGE)
    except WireError as refusal:
        return _fail(json_wanted, str(refusal), FAILED, reason=refusal.reason)
    except Unavailable as lack:
        return _fail(json_wanted, str(lack), UNAVAILABLE)
    except OSError as trouble:
        return _fail(json_wanted, str(trouble), FAILED)
    except Exception as fault:
        traceback.print_exc()
        return _fail(json_wanted, f"a fault in tallygrid itself: {fault!r}", FAULT)


def _fail(json_wanted: bool, text: str, status: int, **more: Any) -> int:
    print(f"tallygrid: {text}", file=sys.stderr)
    if json_wanted:
        print(json.dumps({"error": text, **more}))
    return status


if __name__ == "__main__":
    sys.exit(main())
