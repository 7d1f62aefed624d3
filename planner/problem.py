"""Problem: the planning question as labels and float arrays; what the optimizer sees.

Axes, in this order whichever occur: c candidate, d demand class, g accelerator SKU, o supply
option, s site, t period, b load block; a is an API product for one class, y a fiscal year.
Inside everything is a position; names live in the label tuples and return in the Plan.
A lot is the smallest purchase (a node, or a rack of a rack-scale system); a node (tray) is what
fails. Money is present value [USD] of one unit's cash rows unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Names behind the positions."""

    candidates: tuple[str, ...]
    classes: tuple[str, ...]
    accelerators: tuple[str, ...]
    commitments: tuple[str, ...]
    """Term options among o: reserved_1y, reserved_3y."""
    sites: tuple[str, ...]
    periods: tuple[str, ...]
    blocks: tuple[str, ...]
    apis: tuple[str, ...]
    fiscal_years: tuple[str, ...]


@dataclass(frozen=True)
class Demand:
    """Traffic of each class."""

    peak_rps: Array
    """(classes, periods, blocks): sizes SLO capacity."""
    mean_rps: Array
    """(classes, periods, blocks): drives tokens, energy, API fees."""
    hours: Array
    """(periods, blocks): calendar hours."""
    day_of_block: Whole
    """(blocks,): day type; batch may shift within one."""
    batch: Flags
    """(classes,): no latency promise, free to move within its day type."""
    on_premises_min_frac: Array
    """(classes,)"""


@dataclass(frozen=True)
class Pools:
    """Candidates: one class on one configuration.

    Classes of a mix are candidates of one pool: of one configuration, with what the pool's
    replicas carry said in requests of each, so that offset / rate and small / rate are the same.
    """

    class_of: Whole
    """(candidates,)"""
    pool_of: Whole
    """(candidates,): number of the pool; a candidate that serves alone has one of its own."""
    replica_gpus: Array
    """(candidates, accelerators): of one replica; 0 of those it does not use."""
    rate_rps: Array
    """(candidates,): slope a of the pool's capacity line a x replicas - offset."""
    offset_rps: Array
    """(candidates,): offset delta >= 0, lost once in an open pool."""
    small_rps: Array
    """(candidates, 3): what pools of 1, 2 and 3 replicas carry, nowhere less than the line."""
    allowed: Flags
    """(candidates, sites): residency and what can stand or be rented there."""
    replicas_max: Array
    """(candidates, periods): demand-derived upper bound."""
    energy_usd: Array
    """(candidates, sites, periods, blocks): PV of serving all of the class's mean traffic on this
    pool: energy of work at own sites, egress out of clouds."""

    @property
    def first_of(self) -> Whole:
        """First candidate of each candidate's pool, (candidates,)."""
        _, first, place = np.unique(self.pool_of, return_index=True, return_inverse=True)
        return np.asarray(first[place], np.int64)


@dataclass(frozen=True)
class Machines:
    """Accelerator SKUs as they are bought, rented, fed and repaired."""

    lot_gpus: Array
    """(accelerators,)"""
    node_gpus: Array
    """(accelerators,): the unit of failure."""
    lot_kw: Array
    """(accelerators,): contracted IT power."""
    lots_per_rack: Array
    """(accelerators, sites): 0 where it cannot stand; unused in clouds."""
    purchasable: Flags
    """(accelerators, sites)"""
    on_demand: Flags
    """(accelerators, sites)"""
    committable: Flags
    """(commitments, accelerators, sites)"""
    lead_periods: Whole
    """(accelerators, sites): order to in service."""
    term_periods: Whole
    """(commitments,)"""
    lots_max: Array
    """(accelerators, sites, periods): stock or quota, inf where none."""
    on_demand_max: Array
    """(accelerators, sites, periods): quota of lots rented by the hour, inf where none."""
    spare_slope: Array
    """(accelerators, sites): spares >= slope x needed nodes + offset x pool open."""
    spare_offset: Array
    """(accelerators, sites)"""
    node_unavailability: Array
    """(accelerators, sites): share of time a node is out, for the audit's binomial staircase."""


@dataclass(frozen=True)
class Sites:
    """Places."""

    on_premises: Flags
    """(sites,): owned or colo."""
    it_kw: Array
    """(sites, periods): IT power, inf in clouds, 0 before available_from."""
    racks: Array
    """(sites, periods): rack positions, inf in clouds."""


@dataclass(frozen=True)
class Costs:
    """Objective coefficients: NPV [USD] of one unit's cash rows, from `finance`."""

    buy_usd: Array
    """(accelerators, sites, periods): one lot ordered in t, to the end value."""
    commit_usd: Array
    """(commitments, accelerators, sites, periods): one lot signed in t."""
    on_demand_usd: Array
    """(accelerators, sites, periods, blocks): one lot for all hours of the block."""
    api_usd: Array
    """(apis, periods, blocks): all of the class's mean traffic."""
    capex_usd: Array
    """(accelerators, sites, periods): cash of one lot ordered in t, undiscounted."""


@dataclass(frozen=True)
class StateTax:
    """Income tax of a state beside the federal one, from which it is deducted.

    Other deductions than those of machines bought are the federal ones.
    """

    rate: float
    saved_usd: Array
    """(settlements,): present value of the tax that one USD of used deductions saves, net of the
    federal tax that it costs."""
    buy_usd: Array
    """(accelerators, sites, periods, settlements)"""


@dataclass(frozen=True)
class CompanyTax:
    """Income tax of the whole company, where losses are not used at once.

    z is a settlement of tax: the end of a fiscal year, or a month beyond the horizon. Deductions
    are undiscounted USD of one unit; negative where income is taxed.
    """

    saved_usd: Array
    """(settlements,): present value of the tax that one USD of used deductions saves."""
    income_usd: Array
    """(settlements,): taxable income from everything else."""
    in_horizon: Flags
    """(settlements,)"""
    settled_in: Whole
    """(periods,): settlement of what is used in a period."""
    carried: bool
    """Losses wait for later settlements of the horizon; else they are lost."""
    buy_usd: Array
    """(accelerators, sites, periods, settlements)"""
    commit_usd: Array
    """(commitments, accelerators, sites, periods, settlements)"""
    on_demand_usd: Array
    """(accelerators, sites, periods, blocks)"""
    api_usd: Array
    """(apis, periods, blocks)"""
    energy_usd: Array
    """(candidates, sites, periods, blocks), egress too"""
    state: StateTax | None = None
    """None: there is no state tax."""


@dataclass(frozen=True)
class Limits:
    """Company-wide limits."""

    capex_max_usd: Array
    """(fiscal years,): inf where none."""
    fiscal_year_of: Whole
    """(periods,): year in which an order's capex falls."""
    accelerator_types_max: int
    """At least the number of SKUs where none."""
    availability_target: float


@dataclass(frozen=True)
class Problem:
    """Everything the optimizer needs, nothing it does not."""

    labels: Labels
    demand: Demand
    pools: Pools
    machines: Machines
    sites: Sites
    costs: Costs
    limits: Limits
    api_class: Whole
    """(apis,): the class an API product can serve."""
    tax: CompanyTax | None = None
    """None: costs are before tax, or hold it already."""


@dataclass(frozen=True)
class Solution:
    """What the optimizer decided. Integers are whole; the rest was solved again around them."""

    lots_bought: Array
    """(accelerators, sites, periods), whole"""
    lots_signed: Array
    """(commitments, accelerators, sites, periods), whole"""
    lots_on_demand: Array
    """(accelerators, sites, periods, blocks)"""
    replicas_peak: Array
    """(candidates, sites, periods), whole; of a pool of several under the first of them"""
    replicas: Array
    """(candidates, sites, periods, blocks): active, likewise"""
    served_frac: Array
    """(candidates, sites, periods, blocks): share of the class's traffic (batch: of its daily
    mean rate, may exceed 1 in one block)"""
    api_frac: Array
    """(apis, periods, blocks)"""
    racks_used: Array
    """(accelerators, sites, periods), whole"""
    cost_usd: float
    """Objective of this whole-number plan."""
    bound_usd: float
    """No fleet costs less."""
    status: str
    """optimal (within the asked gap) or stopped"""
    seconds: dict[str, float]
    """compile, solve, fix: wall seconds"""
    interrupted: bool = False
    """Whether Ctrl-C ended the search."""
    rounding_usd: float = 0.0
    """Cost of this plan less that of the program's own best: what rounding afterwards added."""

    @property
    def gap_frac(self) -> float:
        """(cost - bound) / cost; 0 where cost is 0."""
        return (self.cost_usd - self.bound_usd) / self.cost_usd if self.cost_usd else 0.0


@dataclass(frozen=True)
class AuditRow:
    """One constraint family recomputed without a solver."""

    family: str
    rows: int
    worst_rel: float
    """Largest violation, relative to the row's scale; <= 0 where all hold."""
    where: str
    """Labels of the worst row."""
