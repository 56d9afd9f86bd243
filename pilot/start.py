"""What `./tallygrid` runs first: sets up the packages that the command needs, then becomes the command.

Owns: the way from any Python >= 3.11 to the checkout's own environment.
Refuses: importing anything that is not in the standard library or in this folder's own set-up files.
Invariant: --help and --version work on a bare machine, and a set-up that is current costs three file comparisons.
"""

import os
import sys
from pathlib import Path

from pilot import cli, places
from pilot.commands import find
from pilot.console import say
from pilot.environment import Environment
from pilot.errors import Unavailable


def main() -> int:
    words = sys.argv[1:]
    if words[:1] == ["--from"] and len(words) > 1:
        os.environ[places.BUNDLE_VARIABLE] = str(Path(words[1]).absolute())
        words = words[2:]
    command = find(cli.command_word(words))
    if command is None:
        return cli.main(words)
    assert places.CHECKOUT is not None, "an installed package starts at pilot.cli"
    home = Environment(places.CHECKOUT / ".venv", places.CHECKOUT / "locks", ("run", "pilot", "dev"))
    status = _set_up(home, command.needs)
    if status == 0:
        # A fresh start: what was imported so far may be another Python's, or older than what was just installed.
        os.execv(home.python, [str(home.python), "-P", "-m", "pilot.cli", *words])
    return status


def _set_up(home: Environment, needs: str) -> int:
    try:
        home.ensure(needs)
    except (Unavailable, OSError) as trouble:
        say(str(trouble))
        return cli.UNAVAILABLE
    except KeyboardInterrupt:
        say("interrupted; the next run goes on from here")
        return cli.INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
