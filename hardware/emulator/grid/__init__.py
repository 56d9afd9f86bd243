"""The street that is measured: houses, roofs, stores and cables, and the power flow between them.

Owns: what power every place wants (`demand`, `sun`, `stores`), the network that carries it (`network`), and the one
clock-driven `Grid` that integrates both and that everything else sees.
Refuses: any clock but the one it is told (`advance`), any knowledge of boards, parts on buses or messages.
Invariants: for a site and a seed the same calls at the same site times give the same numbers, however the time
between them is cut into steps; metered energy and losses add up to what the transformer took.
"""

from .grid import Grid, Totals, balance_error
from .network import Collapse

__all__ = ["Collapse", "Grid", "Totals", "balance_error"]
