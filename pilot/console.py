"""What people read while something is being set up.

Owns: progress and notes on stderr, each line with our name in front.
Refuses: stdout; that belongs to what a command answers.
"""

import sys


def say(text: str) -> None:
    print(f"tallygrid: {text}", file=sys.stderr, flush=True)
