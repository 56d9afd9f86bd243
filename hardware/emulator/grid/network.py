"""The low-voltage network: which voltages and losses a set of powers makes.

Owns: pandapower's model of the site and its solution. pandapower builds the equations and solves them in full each
time a switch or the tap moves; between two such moves only powers change, and its admittance matrix is solved for
them by iterating the currents, to a voltage error of 1e-9. That takes tens of microseconds where a whole `runpp`
takes ten to twenty milliseconds; `audit` says how far the two are apart.
Refuses: time, energy, and any opinion on why a node wants power.
Invariants: a node that no closed cable joins to the busbar has no voltage and carries no power. The three phases
are loaded alike.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandapower as pp  # type: ignore[import-untyped]

from hardware.site.model import BUSBAR, Site

TOLERANCE = 1e-9
ROUNDS_MAX = 200
LOW_KV = 0.4

Complex = npt.NDArray[np.complex128]
Index = npt.NDArray[np.int64]


class Collapse(Exception):
    """No voltages carry these powers: the cables are too long or too thin for them."""


@dataclass(frozen=True)
class Flow:
    """One solution. Powers in W, voltages in V between a phase and neutral."""

    voltage_v: dict[str, float]
    supply_w: float
    supply_var: float
    loss_w: float


class Network:
    """The network of a site; `solve` after any change of power, `set_switch` and `set_tap` for the rest."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._closed = {cable.name: cable.closed for cable in site.cables}
        self._tap = site.supply.tap
        self._build()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that have voltage."""
        return self._nodes

    def set_switch(self, cable: str, closed: bool) -> None:
        self._closed[cable] = closed
        self._build()

    def set_tap(self, tap: int) -> None:
        self._tap = tap
        self._build()

    def solve(self, power_va: dict[str, complex]) -> Flow:
        """Powers by node, active and reactive, drawn from the network."""
        drawn = np.array([power_va.get(node, 0j) for node in self._nodes], dtype=np.complex128) / 1e6
        low = self._iterate(drawn)
        volts = np.empty(len(low) + 1, dtype=complex)
        volts[self._low], volts[self._slack] = low, self._slack_v
        supply = volts[self._slack] * np.conj(self._y[self._slack] @ volts)
        loss = _branch_loss(volts, self._from, self._to, self._yf, self._yt)
        per_node = np.abs(low) * (LOW_KV * 1000 / math.sqrt(3))
        voltage_v = dict(zip(self._nodes, per_node.tolist(), strict=True))
        return Flow(voltage_v, supply.real * 1e6, supply.imag * 1e6, loss * 1e6)

    def audit(self, power_va: dict[str, complex]) -> float:
        """The largest difference between our voltages and those of a whole pandapower run, in V."""
        ours = self.solve(power_va).voltage_v
        for node in self._nodes:
            power = power_va.get(node, 0j) / 1e6
            self._net.load.loc[self._load[node], ["p_mw", "q_mvar"]] = power.real, power.imag
        pp.runpp(self._net, numba=False, tolerance_mva=1e-12)
        theirs = self._net.res_bus.vm_pu * (LOW_KV * 1000 / math.sqrt(3))
        return float(max(abs(ours[node] - theirs[self._bus[node]]) for node in self._nodes))

    def _iterate(self, drawn: Complex) -> Complex:
        """Currents from voltages, voltages from currents, until neither moves."""
        volts = self._open_v
        for _ in range(ROUNDS_MAX):
            moved: Complex = self._open_v - self._z @ np.conj(drawn / volts)
            if np.abs(moved - volts).max() < TOLERANCE:
                return moved
            volts = moved
        raise Collapse(f"no voltages carry {drawn.real.sum() * 1e6:.0f} W; shorten or strengthen the cables")

    def _build(self) -> None:
        site = self._site
        cables = [cable for cable in site.cables if self._closed[cable.name]]
        self._nodes = _reached([(cable.start, cable.end) for cable in cables])
        net = pp.create_empty_network(sn_mva=1.0)
        high_kv = float(site.supply.transformer.split()[2].split("/")[0])
        high = pp.create_bus(net, high_kv)
        self._bus = {node: int(pp.create_bus(net, LOW_KV, name=node)) for node in self._nodes}
        pp.create_ext_grid(net, high, vm_pu=site.supply.voltage_permille / 1000)
        pp.create_transformer(net, high, self._bus[BUSBAR], site.supply.transformer, tap_pos=self._tap)
        for cable in cables:
            if cable.start in self._bus:
                ends = self._bus[cable.start], self._bus[cable.end]
                pp.create_line(net, *ends, cable.length_m / 1000, cable.kind, name=cable.name)
        self._load = {node: int(pp.create_load(net, bus, 0.0)) for node, bus in self._bus.items()}
        pp.runpp(net, numba=False, tolerance_mva=1e-12)
        self._net = net
        self._take_equations(high)
        assert self.audit({}) < 1e-3, "this version of pandapower keeps its equations in another order"

    def _take_equations(self, high: int) -> None:
        inner, place = self._net._ppc["internal"], self._net._pd2ppc_lookups["bus"]
        self._y = inner["Ybus"].toarray()
        self._slack = int(place[high])
        self._low = np.array([place[self._bus[node]] for node in self._nodes])
        self._slack_v = complex(inner["V"][self._slack])
        self._z = np.linalg.inv(self._y[np.ix_(self._low, self._low)])
        self._open_v = -self._z @ (self._y[self._low, self._slack] * self._slack_v)
        branch = inner["branch"]
        self._from, self._to = branch[:, 0].real.astype(int), branch[:, 1].real.astype(int)
        self._yf, self._yt = inner["Yf"].toarray(), inner["Yt"].toarray()


def _branch_loss(volts: Complex, start: Index, end: Index, yf: Complex, yt: Complex) -> float:
    """What goes into every cable and the transformer and does not come out, summed over them."""
    into = volts[start] * np.conj(yf @ volts) + volts[end] * np.conj(yt @ volts)
    return float(into.real.sum())


def _reached(ends: list[tuple[str, str]]) -> tuple[str, ...]:
    """The nodes joined to the busbar, it first, the others in the order in which they are reached."""
    found = [BUSBAR]
    for node in found:
        for one, other in [*ends, *((b, a) for a, b in ends)]:
            if one == node and other not in found:
                found.append(other)
    return tuple(found)
