"""Puts the parts together: the command line, sites, the page, the experiments and the scenarios.

Owns: `tallygrid` and all its commands, what is fetched for them, and where data lies.
Refuses: rules of its own about messages, money or energy: those are in `wire`, `gateway` and `ledger`.
Invariants: the command line imports lazily, so a gateway box needs none of the `[pilot]` packages.
"""

__version__ = "0.1.0"
