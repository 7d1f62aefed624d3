"""Rows of the table for mixes: what a pool that several classes share carries of each of them.

Every figure is that of the class alone on the same configuration, but for the rates, which the row
below the mix's region gives, and for the replica. That differs a little between classes of unlike
lengths: the pool's has the longest of their steps and the smallest of their caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.candidates.end_to_end import target_s
from planner.candidates.table import Table
from planner.candidates.traffic import Traffic
from planner.perf import queueing
from planner.perf.lengths import Lengths
from planner.perf.mix_region import MixLine, mix_lines, shares_of
from planner.perf.mixture import Member, mix_star, mixed
from planner.perf.pressure import kv_wait_frac
from planner.perf.replica import TIMES, Replica, slowed
from planner.perf.steps import take
from planner.schema.demand import Online
from planner.schema.scenario import Scenario
from planner.units import MILLI

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
Places = tuple[int, ...]
"""Positions of what serves each class of a mix alone, in order of the classes."""

LEAST_STABLE_FRAC = 0.05
"""As of classes alone: rates below this share of the stability limit hang on the last millisecond
of an estimate."""
LEAST_TTFT_S = 1e-6
NO_LINE = "at some shares of its classes a promise breaks at any rate"
BARELY = (
    f"keeps its promises only where some class comes at less than {LEAST_STABLE_FRAC:.0%} of what "
    "it could carry"
)
NOT_OF_A_ROW = ("classes", "pool_sizes", "lengths")
"""Fields of the table that say nothing of one configuration."""


@dataclass(frozen=True)
class _Pools:
    """Mixes of one set of classes; arrays (mixes,)."""

    classes: tuple[int, ...]
    members: list[Member]
    replica: Replica
    expected: Array
    """(members,) [1/s], where they are most work together."""
    utilization_max: float

    @property
    def lengths(self) -> Lengths:
        """Of the stream on the shares expected."""
        return mixed([m.lengths for m in self.members], shares_of(self.expected).tolist())

    @property
    def arrival_cv(self) -> float:
        """Of that stream."""
        return float(np.sqrt(shares_of(self.expected) @ [m.arrival_cv**2 for m in self.members]))

    def most(self, replicas: int, longer: Array | float = 1.0) -> queueing.Capacity:
        """Largest total rate of one replica on the shares expected, with longer steps."""
        return mix_star(
            slowed(self.replica, longer), self.members, shares_of(self.expected).tolist(),
            replicas=replicas, utilization_max=self.utilization_max,
        )  # fmt: skip


def with_rows(
    table: Table,
    scenario: Scenario,
    traffic: Traffic,
    classes: tuple[int, ...],
    mixes: Sequence[Places],
) -> Table:
    """The table with a row for each class of each mix of one set of classes."""
    pools = _pools(table, scenario, traffic, classes, mixes)
    lines = mix_lines(
        pools.replica, pools.members, expected_rps=pools.expected, pool_sizes=table.pool_sizes,
        utilization_max=pools.utilization_max,
    )  # fmt: skip
    longer = _longer(table, scenario, classes, np.array(mixes, np.int64).ravel())
    first, of_mix = len(table.names), np.repeat(np.arange(len(mixes)), len(classes))
    usual = pools.most(table.pool_sizes[-1])
    ends = _band_ends(table, pools, [mix[0] for mix in mixes], usual)
    for name, values in {**_figures(table, pools, lines), **ends}.items():
        getattr(longer, name)[first:] = values
    for field in fields(Replica):
        getattr(longer.replica, field.name)[first:] = getattr(pools.replica, field.name)[of_mix]
    reasons = [_refused(longer, first + n, lines[m]) for n, m in enumerate(of_mix.tolist())]
    whole = [next(filter(None, reasons[m * len(classes) :][: len(classes)]), "") for m in of_mix]
    bindings = [queueing.Binding(int(usual.binding[m])).name.lower() for m in of_mix]
    return replace(longer, reasons=(*table.reasons, *whole), bindings=(*table.bindings, *bindings))


def _pools(
    table: Table,
    scenario: Scenario,
    traffic: Traffic,
    classes: tuple[int, ...],
    mixes: Sequence[Places],
) -> _Pools:
    members = [
        _member(table, scenario, d, list(mine))
        for d, mine in zip(classes, zip(*mixes, strict=True), strict=True)
    ]
    most = scenario.planning.utilization_max
    if any(member.arrival_cv > queueing.BURSTY_CV for member in members):
        most = min(most, queueing.UTILIZATION_MAX_BURSTY)
    return _Pools(
        classes=classes,
        members=members,
        replica=_replica(table, mixes),
        expected=expected_rps(table, traffic, mixes[0]),
        utilization_max=most,
    )


def _member(table: Table, scenario: Scenario, demand_class: int, at: list[int]) -> Member:
    demand = scenario.demand[demand_class]
    assert isinstance(demand, Online)
    slo = demand.slo
    ttft_s = np.maximum(slo.ttft_ms * MILLI - table.request_s[at], LEAST_TTFT_S)
    return Member(
        table.lengths[demand_class], ttft_s, slo.ttft_percentile, slo.tpot_ms * MILLI,
        slo.tpot_percentile, demand.arrival_cv, target_s(slo, table.request_s[at]),
        slo.e2e_percentile,
    )  # fmt: skip


def _replica(table: Table, mixes: Sequence[Places]) -> Replica:
    """Of each mix: steps as long as those of any of its classes, a cache as small.

    As many sequences as the class with the shortest has room for: which fit, the cache decides.
    Where prompts are not cut, the largest budget: the longest of all classes fits.
    """
    own = [take(table.replica, np.array(mine)) for mine in zip(*mixes, strict=True)]
    largest = (*TIMES, "budget_tokens", "sequences_max", "decode_tokens")
    return Replica(
        **{
            field.name: (np.maximum if field.name in largest else np.minimum).reduce(
                [getattr(one, field.name) for one in own]
            )
            for field in fields(Replica)
        }
    )


def expected_rps(table: Table, traffic: Traffic, places: Places) -> Array:
    """Rates of a mix's classes where they are most work together [1/s], (members,).

    Parameters
    ----------
    places : positions of candidates of these classes, by whose rates work counts.
    """
    classes = [table.configurations[i].demand_class for i in places]
    peak = traffic.load.peak_rps[classes].reshape(len(classes), -1)
    work = (peak / table.rate_rps[list(places)][:, None]).sum(axis=0)
    return np.asarray(peak[:, int(work.argmax())], float)


def _longer(table: Table, scenario: Scenario, classes: tuple[int, ...], at: Whole) -> Table:
    """The table with the rows at some positions once more, as those of mixes."""
    rows: dict[str, Any] = {
        field.name: _repeated(getattr(table, field.name), at)
        for field in fields(Table)
        if field.name not in NOT_OF_A_ROW
    }
    known = len(table.names)
    own = [replace(config, shared_by=classes) for config in rows["configurations"][known:]]
    names = {d: scenario.demand[d].name for d in classes}
    rows["configurations"] = (*table.configurations, *own)
    rows["names"] = (
        *table.names,
        *(
            c.name(names[c.demand_class], [names[d] for d in classes if d != c.demand_class])
            for c in own
        ),
    )
    return replace(table, **rows)


def _repeated(value: Any, at: Whole) -> Any:
    """A column, or a record of columns, with its entries at some positions behind it."""
    if isinstance(value, np.ndarray):
        return np.concatenate([value, value[at]])
    if isinstance(value, tuple):
        return (*value, *(value[i] for i in at.tolist()))
    columns = {field.name: _repeated(getattr(value, field.name), at) for field in fields(value)}
    return replace(value, **columns)


def _band_ends(
    table: Table, pools: _Pools, at: list[int], usual: queueing.Capacity
) -> dict[str, Array]:
    """Rates in a large pool with steps at the ends of the band, over those planned."""
    some = np.where(usual.rate_rps > 0, usual.rate_rps, np.inf)
    slow, fast = (
        pools.most(table.pool_sizes[-1], end[at] / table.planned_frac[at]).rate_rps / some
        for end in (table.band_high_frac, table.band_low_frac)
    )
    count = len(pools.classes)
    return {"slow_ratio": np.repeat(slow, count), "fast_ratio": np.repeat(fast, count)}


def _figures(table: Table, pools: _Pools, lines: Sequence[MixLine | None]) -> dict[str, Array]:
    """Columns of the mixes' rows, (mixes x members,); NaN rates where there is no line."""
    count, sizes = len(pools.classes), len(table.pool_sizes)
    none = MixLine(*(np.full(count, np.nan),) * 2, np.full((count, sizes), np.nan))
    known = [line or none for line in lines]
    pool = np.concatenate([line.pool_rps for line in known])
    on_line = 1.0 / (shares_of(pools.expected) @ (1.0 / pool[:, -1].reshape(-1, count)).T)
    waiting = kv_wait_frac(
        pools.replica, pools.lengths, on_line, arrival_cv=pools.arrival_cv,
        replicas=table.pool_sizes[-1],
        stability_rps=queueing.stability_limit(pools.replica, pools.lengths),
    )  # fmt: skip
    stable = [queueing.stability_limit(pools.replica, m.lengths) for m in pools.members]
    each = {"kv_wait_frac": waiting, "kv_tokens": pools.replica.kv_tokens,
            "sequences_max": pools.replica.sequences_max}  # fmt: skip
    return {
        **{name: np.repeat(values, count) for name, values in each.items()},
        "rate_rps": np.concatenate([line.rate_rps for line in known]),
        "offset_rps": np.concatenate([line.offset_rps for line in known]),
        "pool_rps": pool,
        "lambda_star_rps": pool[:, 0],
        "stability_rps": np.stack(stable, axis=1).ravel(),
        # Simulation only lowers the rates of a mix.
        "most_ratio": np.ones(pool.shape),
    }


def _refused(table: Table, i: int, line: MixLine | None) -> str:
    if line is None:
        return NO_LINE
    largest = table.pool_rps[i, -1]
    return "" if largest > LEAST_STABLE_FRAC * table.stability_rps[i] else BARELY
