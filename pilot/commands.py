"""Every command of `tallygrid`, one row each: the help, the set-up and the dispatch all read this table.

Owns: names, their users, the packages each needs, and the module that does the work.
Refuses: importing any of those modules; this file runs before anything is installed.
Invariant: a row is added when its command works, never before.

A command's module has `add_arguments(parser)` and `run(args) -> int`. `args.data` is the data folder (a Path, perhaps
not there yet), `args.json` asks for one JSON value on stdout and nothing else there. Exit codes: 0 good, 1 a check
failed or the input was refused, 2 wrong usage (argparse), 69 something that is needed cannot be had.
"""

from typing import Final, NamedTuple

GROUPS: Final = ("installer", "site operator", "ledger operator", "household", "engineer")

# Sets of packages, each holding the ones before it; one lock file each under locks/.
SETS: Final = ("run", "pilot", "dev")


class Command(NamedTuple):
    name: str
    group: str  # who uses it, one of GROUPS
    help: str
    module: str
    needs: str = "run"  # the smallest set that it works with, one of SETS


COMMANDS: Final = (
    Command("inspect", "household", "say what a message is, who signed it and whether it holds", "pilot.inspect"),
    Command("wallet", "household", "tokens and rights: balance, pay, buy, convert, recover", "ledger.cli_wallet"),
    Command("verify", "household", "check a bundle from public keys alone, offline", "pilot.verify"),
    Command("gateway", "site operator", "hear devices, seal what they signed, pass commands down", "gateway.cli"),
    Command("ledger", "ledger operator", "run a ledger node: set up, watch, ask, back up, export", "ledger.cli"),
    Command("relayer", "ledger operator", "carry proofs between the sister chains", "ledger.cli_relayer"),
    Command("build-firmware", "installer", "compile the firmware for each kind of board", "hardware.build", "pilot"),
    Command("doctor", "site operator", "say what is there and what is missing", "pilot.doctor"),
    Command("pilot", "engineer", "run a whole microgrid on this machine", "pilot.play", "pilot"),
    Command("test", "engineer", "run the whole test suite: style, types, directions, tests", "pilot.suite", "dev"),
    Command("bench", "engineer", "measure one part against its limits", "pilot.bench", "dev"),
    Command("experiment", "engineer", "run an experiment of the paper, its figures beside ours", "pilot.experiments"),
    Command("bundle", "engineer", "make a folder that sets up a machine without a network", "pilot.offline"),
)


def find(name: str) -> Command | None:
    return next((command for command in COMMANDS if command.name == name), None)
