"""Disaggregated units: prompts on x replicas, answers on y others, perhaps on another accelerator.

A side is a layout of one accelerator. Both sides of a unit serve one model in one weight and one
cache format on one engine. For every ordered pair of accelerators that can be had at one site two
units enter, of all formats, engines, layouts and ratios of replicas: the smallest of those that
take next to no more accelerators for a promised rate than the best, prefill and decode together,
and the smallest of those that take a quarter more. A side's promised rate is that of units whose
other side is never short.
So a class gets at most twice as many units as there are pairs: 50 for five accelerators. Left out:

- sides over pipeline stages (vLLM's connector moves no cache between stages), and drafts;
- accelerators of two vendors: nobody documents caches that move between them;
- models with recurrent layers, whose state would have to move too;
- batch classes: they promise no time to first token and no pace that prompts could disturb;
- the fast link within a domain: units of a pool share all of its replicas, so caches also move
  between nodes. They are taken to use the network ports, of prefill or decode, the slower;
- ratios beyond `REPLICAS_MAX` replicas a unit: pools of several units come near any ratio.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.candidates.end_to_end import target_s
from planner.candidates.enumerate import ANY, Configuration, configurations
from planner.candidates.offers import Offers, assumption, offers
from planner.candidates.replicas import Modelled, modelled
from planner.candidates.traffic import Traffic
from planner.perf import disaggregated, memory
from planner.perf.disaggregated import Transfer, Unit
from planner.perf.steps import take
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch, DemandClass, Online, Slo
from planner.schema.scenario import Scenario
from planner.units import BITS_PER_BYTE, GIGA, MILLI

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

MODE = "disaggregated"
Choice = tuple[float, float, tuple[int, int, int, int]]
"""Accelerators of a unit, those it takes for a request a second, and its sides and replicas."""
TOLERANCES = 0.02, 0.25
"""Accelerators a request that the units offered may take more than the best of their pair."""
SIDES_KEPT = 3
"""Layouts of an accelerator that are combined, on either side of a model, format and engine."""
REPLICAS_MAX = 8
"""Of a unit, both sides."""
PLENTY = 16.0
"""Replicas of the side that is never short, where the other's rate is asked for."""
POOL = 8.0
"""Units of the pools in which sides are compared."""
HANDOVER, NETWORK_FRAC = "kv-handover-s", "kv-network-frac"
"""Assumptions of the catalog: time from the last byte to the decode replica's turn, and share of a
network port's rate that reaches it."""


@dataclass(frozen=True)
class Sides:
    """Layouts that may compute prompts or answers, and what each class asks of them."""

    configurations: tuple[Configuration, ...]
    found: Modelled
    prefill_rps: Array
    """Promised rate of one replica that only computes prompts; 0 where no promise is kept."""
    decode_rps: Array
    """The same of one that only answers."""


@dataclass(frozen=True)
class Units:
    """Combinations of two sides; (units,) each."""

    configurations: tuple[Configuration, ...]
    sides: Modelled
    """Of which `prefill` and `decode` are positions."""
    prefill: Whole
    decode: Whole
    perf: Unit


def units(
    scenario: Scenario, catalog: Catalog, traffic: Traffic, leave_out: Iterable[int] = ()
) -> tuple[Units | None, list[Configuration]]:
    """Units of all online classes but those left out, None if there are none; and what is refused.

    Nothing of either where the scenario asks for none.
    """
    if MODE not in scenario.supply.modes:
        return None, []
    asked = [d for d in range(len(scenario.demand)) if d not in {*leave_out}]
    online = [d for d in asked if not _unfit(scenario.demand[d])]
    configs, refused = _layouts(scenario, catalog, set(range(len(scenario.demand))) - {*online})
    refused += [_refused(d, model, why)
                for d in asked
                if isinstance(demand := scenario.demand[d], Online | Batch)
                and (why := _unfit(demand))
                for model in demand.models]  # fmt: skip
    sides = _rated(configs, scenario, catalog, traffic) if configs else None
    together = _together(offers(scenario, catalog), catalog) if configs else set()
    chosen: list[tuple[int, int, int, int]] = []
    for d in online:
        mine = [i for i, c in enumerate(configs) if c.demand_class == d]
        combined = [] if sides is None else list(_combined(sides, mine, together))
        chosen += combined
        refused += _unserved(sides, mine, combined, scenario, d)
    if sides is None or not chosen:
        return None, refused
    p, q, x, y = np.array(chosen, np.int64).T
    unit = _unit(
        sides.configurations, sides.found, (p, q), replicas=(x.astype(float), y.astype(float)),
        catalog=catalog, traffic=traffic,
    )  # fmt: skip
    named = tuple(
        replace(configs[i], decode=configs[j], prefill_replicas=m, decode_replicas=n)
        for i, j, m, n in chosen
    )
    return Units(named, sides.found, p, q, unit), refused


def _unfit(demand: DemandClass) -> str:
    """Why no unit serves a class, whatever its machines; empty where one may."""
    if not isinstance(demand, Online):
        return "batch work has no pace to protect"
    if demand.slo.token_itl_ms is not None:
        return "gaps between tokens are not known of units"
    return ""


def _refused(demand_class: int, model: str, reason: str, accelerator: str = ANY) -> Configuration:
    return Configuration(demand_class, model, accelerator, mode=MODE, reason=reason)


def _layouts(
    scenario: Scenario, catalog: Catalog, skipped: set[int]
) -> tuple[list[Configuration], list[Configuration]]:
    """Layouts of engines that disaggregate, and accelerators whose caches have no way out."""
    engines = tuple(e for e in scenario.supply.engines if MODE in catalog.engines[e].modes)
    changed = {"modes": ("chunked",), "engines": engines}
    supply = scenario.supply.model_copy(update=changed)
    asked = scenario.model_copy(update={"supply": supply})
    found, refused = list[Configuration](), dict[tuple[int, str, str], Configuration]()
    for config in configurations(asked, catalog, skipped):
        if config.reason or config.pp > 1:
            continue
        why = _no_way(config, catalog)
        if why:
            key = (config.demand_class, config.model, config.accelerator)
            refused.setdefault(key, _refused(*key[:2], why, config.accelerator))
        else:
            found.append(replace(config, mode=MODE))
    return found, list(refused.values())


def _no_way(config: Configuration, catalog: Catalog) -> str:
    """Why the cache of a configuration cannot move; empty where it can."""
    if catalog.models[config.model].linear_layers:
        return "recurrent state moves with no cache: not known of any engine"
    if catalog.accelerators[config.accelerator].scaleout_gbit_per_s is None:
        return (
            "no network port known to send KV caches over (scaleout_gbit_per_s of "
            "accelerators.yaml)"
        )
    return ""


def _rated(
    configs: Sequence[Configuration], scenario: Scenario, catalog: Catalog, traffic: Traffic
) -> Sides:
    """Promised rates of every layout on either side, where the other is never short."""
    found = modelled(configs, scenario, catalog, traffic)
    rates = np.zeros((2, len(configs)))
    for d, demand in enumerate(scenario.demand):
        mine = np.array([c.demand_class == d for c in configs], bool) & found.fits
        at = np.flatnonzero(mine)
        if not at.size or not isinstance(demand, Online):
            continue
        one, many = np.ones(at.size), np.full(at.size, PLENTY)
        outside_s = found.shaped.coefficients.request_s[at]
        ttft_s = demand.slo.ttft_ms * MILLI - outside_s
        end_s = target_s(demand.slo, outside_s)
        unbounded = np.full(at.size, np.inf)
        shapes = (
            (one, many, np.maximum(ttft_s, 1e-6), unbounded),
            (many, one, unbounded, np.full(at.size, demand.slo.tpot_ms * MILLI)),
        )
        for side, (x, y, ttft, tpot) in enumerate(shapes):
            unit = _unit(
                configs, found, (at, at), replicas=(x, y), catalog=catalog, traffic=traffic
            )
            capacity = disaggregated.lambda_star(
                unit, traffic.lengths[d], ttft_s=ttft, ttft_percentile=demand.slo.ttft_percentile,
                tpot_s=tpot, tpot_percentile=demand.slo.tpot_percentile,
                arrival_cv=demand.arrival_cv, replicas=POOL,
                utilization_max=scenario.planning.utilization_max,
                e2e_s=end_s, e2e_percentile=demand.slo.e2e_percentile,
            )  # fmt: skip
            rates[side, at] = capacity.rate_rps
    return Sides(tuple(configs), found, rates[0], rates[1])


def _unit(
    configs: Sequence[Configuration],
    found: Modelled,
    sides: tuple[Whole, Whole],
    *,
    replicas: tuple[Array, Array],
    catalog: Catalog,
    traffic: Traffic,
) -> Unit:
    """Units of the layouts at positions `sides`: prefill, decode."""
    p, q = sides
    prompts = np.array([traffic.lengths[c.demand_class].input_mean for c in configs])
    architecture, form = found.shaped.architecture, found.shaped.format
    shards = memory.attention_shards(architecture=architecture, layout=found.shaped.layout)
    ports = np.array([
        (catalog.accelerators[c.accelerator].scaleout_gbit_per_s or 0.0) * GIGA / BITS_PER_BYTE
        for c in configs
    ])  # fmt: skip
    cache = memory.sequence_kv_bytes(architecture=architecture, form=form, context_tokens=prompts)
    out = shards * ports * assumption(catalog, NETWORK_FRAC).value
    return Unit(
        prefill=take(found.replica, p),
        decode=take(found.replica, q),
        prefill_replicas=replicas[0],
        decode_replicas=replicas[1],
        transfer=Transfer(
            token_bytes=(cache / prompts)[p],
            link_bytes_s=np.minimum(out[p], out[q]),
            latency_s=np.full(len(p), assumption(catalog, HANDOVER).value),
        ),
    )


def taken(unit: Unit, at: Whole) -> Unit:
    """The units at positions `at`, in that order."""
    transfer = unit.transfer
    return Unit(
        take(unit.prefill, at), take(unit.decode, at), unit.prefill_replicas[at],
        unit.decode_replicas[at],
        Transfer(transfer.token_bytes[at], transfer.link_bytes_s[at], transfer.latency_s[at]),
    )  # fmt: skip


def _together(had: Offers, catalog: Catalog) -> set[tuple[str, str]]:
    """Ordered pairs of accelerators of one vendor that can be had at one site."""
    vendor = {name: row.vendor for name, row in catalog.accelerators.items()}
    by_site: defaultdict[str, set[str]] = defaultdict(set)
    places = [*had.owned, *had.on_demand, *((name, site) for _, name, site in had.commitments)]
    for name, site in places:
        by_site[site].add(name)
    return {
        (a, b)
        for names in by_site.values()
        for a in names for b in names
        if vendor[a] == vendor[b]
    }  # fmt: skip


def _combined(
    sides: Sides, mine: Sequence[int], together: set[tuple[str, str]]
) -> Iterator[tuple[int, int, int, int]]:
    """Prefill side, decode side and replicas of each, of the units of one class."""
    gpus = np.array([c.gpus for c in sides.configurations], float)
    with np.errstate(divide="ignore"):
        prefill_gpus, decode_gpus = gpus / sides.prefill_rps, gpus / sides.decode_rps
    found: defaultdict[tuple[str, str], list[Choice]] = defaultdict(list)
    able = _best_by(sides, mine, prefill_gpus), _best_by(sides, mine, decode_gpus)
    for (*family, a), prefill in able[0].items():
        for (*other, b), decode in able[1].items():
            if family == other and (a, b) in together:
                for i, j in itertools.product(prefill, decode):
                    rates = float(sides.prefill_rps[i]), float(sides.decode_rps[j])
                    each = ratios(rates, (float(gpus[i]), float(gpus[j])))
                    found[a, b] += [(size, need, (i, j, x, y)) for size, need, x, y in each]
    for some in found.values():
        yield from dict.fromkeys(smallest(some, within)[2] for within in TOLERANCES)


def _best_by(sides: Sides, mine: Sequence[int], need: Array) -> dict[tuple[str, ...], list[int]]:
    """The layouts that need fewest accelerators, by model, formats, engine and accelerator."""
    groups: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in mine:
        c = sides.configurations[i]
        if np.isfinite(need[i]):
            groups[c.model, c.quantization, c.kv_dtype, c.engine, c.accelerator].append(i)
    return {key: sorted(at, key=lambda i: (need[i], i))[:SIDES_KEPT] for key, at in groups.items()}


def ratios(
    rate_rps: tuple[float, float], gpus: tuple[float, float]
) -> list[tuple[float, float, int, int]]:
    """Units of one prefill and one decode side: size, accelerators a request, replicas of each.

    Parameters
    ----------
    rate_rps : of one prefill and of one decode replica.
    gpus : of one of each.

    Examples
    --------
    Three prefill replicas feed two decode replicas of the same size exactly: 5 for 6 requests.

    >>> min(ratios((2.0, 3.0), (1.0, 1.0)), key=lambda one: one[1])
    (5.0, 0.8333333333333334, 3, 2)
    """
    found = []
    for x in range(1, REPLICAS_MAX):
        for y in range(1, REPLICAS_MAX + 1 - x):
            size = x * gpus[0] + y * gpus[1]
            found.append((size, size / min(x * rate_rps[0], y * rate_rps[1]), x, y))
    return found


def smallest(some: Sequence[Choice], within_frac: float) -> Choice:
    """The smallest unit among those that take little more than the best for a request.

    Examples
    --------
    >>> some = [(14.0, 1.0, (0, 0, 1, 1)), (3.0, 1.2, (0, 1, 1, 1)), (2.0, 1.5, (1, 1, 1, 1))]
    >>> [smallest(some, within)[0] for within in (0.02, 0.25)]
    [14.0, 3.0]
    """
    most = min(need for _, need, _ in some) * (1 + within_frac)
    return min(one for one in some if one[1] <= most)


def _unserved(
    sides: Sides | None,
    mine: Sequence[int],
    combined: Sequence[tuple[int, int, int, int]],
    scenario: Scenario,
    demand_class: int,
) -> Iterator[Configuration]:
    """One refused row for each model of a class of which no unit was found."""
    demand = scenario.demand[demand_class]
    assert isinstance(demand, Online)
    configs = () if sides is None else sides.configurations
    served = {configs[i].model for i, *_ in combined}
    for model in demand.models:
        here = [i for i in mine if configs[i].model == model]
        if sides is None or not here:
            why = "no engine that disaggregates runs it on these accelerators"
            yield _refused(demand_class, model, why)
        elif model not in served:
            yield _refused(demand_class, model, _why_none(sides, np.array(here), demand))


def _why_none(sides: Sides, here: Whole, demand: Online) -> str:
    slo = demand.slo
    if not sides.found.fits[here].any():
        return "no side fits: its weights or cache are too large for every layout"
    if not sides.prefill_rps[here].any():
        promise = f"TTFT p{slo.ttft_percentile * 100:g} of {slo.ttft_ms:g} ms{_and_end(slo)}"
        return f"no prefill side fits: none keeps {promise}, transfer and handover included"
    if not sides.decode_rps[here].any():
        return (
            f"no decode side fits: none keeps TPOT p{slo.tpot_percentile * 100:g} of "
            f"{slo.tpot_ms:g} ms{_and_end(slo)}"
        )
    return "no two sides in one format can be had at one site"


def _and_end(slo: Slo) -> str:
    """The promise to the last token; empty where there is none."""
    return (
        "" if slo.e2e_ms is None else f" and E2E p{slo.e2e_percentile * 100:g} of {slo.e2e_ms:g} ms"
    )
