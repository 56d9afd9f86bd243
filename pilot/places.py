"""Where things lie: the checkout, what was fetched for it, and data.

Owns: the paths, from the environment and the platform.
Refuses: making folders; whoever writes makes them.
Invariant: without a checkout (installed as a wheel) nothing is ever put beside the code.
"""

import os
from pathlib import Path
from typing import Final

from pilot.errors import Unavailable

_HERE = Path(__file__).resolve().parent.parent

# Names a folder made by `tallygrid bundle`; `./tallygrid --from DIR` sets it.
BUNDLE_VARIABLE: Final = "TALLYGRID_BUNDLE"

# The folder that `git clone` made, or None where tallygrid was installed as a wheel.
CHECKOUT: Path | None = _HERE if (_HERE / "pyproject.toml").is_file() else None


def user_data() -> Path:
    """The platform's place: a service's for root, the user's own otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/tallygrid")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "tallygrid"


def data(group: str) -> Path:
    """Where a command of this group keeps its data unless --data says otherwise: an engineer's lies in the checkout."""
    given = os.environ.get("TALLYGRID_DATA")
    if given:
        return Path(given).absolute()
    return CHECKOUT / ".data" if CHECKOUT and group == "engineer" else user_data()


def runtime() -> Path:
    """Where fetched programs are unpacked."""
    return CHECKOUT / ".runtime" if CHECKOUT else user_data() / "runtime"


def bundle() -> Path | None:
    """The folder to set up from instead of the network: the one named, or the one that this checkout came in."""
    given = os.environ.get(BUNDLE_VARIABLE)
    if given:
        if not (Path(given) / "bundle.json").is_file():
            raise Unavailable(f"{given} is no folder made by `tallygrid bundle`: it has no bundle.json")
        return Path(given)
    return CHECKOUT.parent if CHECKOUT and (CHECKOUT.parent / "bundle.json").is_file() else None
