"""Fleet, pools, API traffic and demand of a plan, with labels in place of positions."""

from __future__ import annotations

from typing import Literal

import numpy as np

from planner.answer.decided import SOME, Array, Decided
from planner.result import ApiRow, Block, ClassTraffic, FleetRow, Period, PoolRow
from planner.schema.demand import Batch, Online

DAYS: tuple[Literal["weekday"], Literal["weekend"]] = ("weekday", "weekend")
OptionName = Literal["owned", "colo", "reserved_1y", "reserved_3y", "on_demand"]


def fleet(decided: Decided) -> list[FleetRow]:
    """Machines by option, accelerator and site; only those that the plan holds."""
    return [*_owned(decided), *_committed(decided), *_rented(decided)]


def _row(
    decided: Decided, option: OptionName, place: tuple[int, int], ordered: Array, by_block: Array
) -> FleetRow:
    g, s = place
    name = decided.axes.accelerators[g]
    row = decided.case.catalog.accelerators[name]
    hours = decided.problem.demand.hours
    return FleetRow(
        option=option,
        accelerator=name,
        accelerator_title=row.title,
        site=decided.axes.sites[s],
        lot_name=row.lot_name,
        lot_gpus=row.lot_gpus,
        lot_kw=float(decided.problem.machines.lot_kw[g]),
        lots_ordered=ordered.tolist(),
        lots_in_service=((by_block * hours).sum(axis=1) / hours.sum(axis=1)).tolist(),
        lots_by_block=by_block.tolist(),
    )


def _steady(decided: Decided, held: Array) -> Array:
    """The same number of lots in every block, (periods, blocks)."""
    return np.repeat(held[:, None], len(decided.problem.labels.blocks), axis=1)


def _owned(decided: Decided) -> list[FleetRow]:
    bought, held = decided.solution.lots_bought, decided.owned_in_service
    kinds = [place.site.kind for place in decided.case.offers.places]
    found = []
    for g, s in np.argwhere(bought.any(axis=2)).tolist():
        option: OptionName = "colo" if kinds[s] == "colo" else "owned"
        found.append(_row(decided, option, (g, s), bought[g, s], _steady(decided, held[g, s])))
    return found


def _committed(decided: Decided) -> list[FleetRow]:
    signed, held = decided.solution.lots_signed, decided.in_force
    names: dict[str, OptionName] = {"reserved_1y": "reserved_1y", "reserved_3y": "reserved_3y"}
    return [
        _row(decided, names[decided.axes.options[o]], (g, s), signed[o, g, s],
             _steady(decided, held[o, g, s]))
        for o, g, s in np.argwhere(signed.any(axis=3)).tolist()
    ]  # fmt: skip


def _rented(decided: Decided) -> list[FleetRow]:
    lots = decided.solution.lots_on_demand
    return [
        _row(decided, "on_demand", (g, s), lots[g, s].max(axis=1), lots[g, s])
        for g, s in np.argwhere((lots > SOME).any(axis=(2, 3))).tolist()
    ]


def pools(decided: Decided) -> list[PoolRow]:
    """Pools, and parts of shared ones, that ever serve, largest volume first."""
    names = decided.problem.labels.candidates
    return [
        PoolRow(
            candidate=names[c],
            shared_with=[names[other] for other in decided.parts(c, s) if other != c],
            site=decided.axes.sites[s],
            replicas_peak=decided.replicas_peak[c, s].tolist(),
            replicas=decided.replicas[c, s].tolist(),
            served_frac=decided.solution.served_frac[c, s].tolist(),
        )
        for c, s in decided.used_pools
    ]


def apis(decided: Decided) -> list[ApiRow]:
    """APIs that ever serve."""
    return [
        ApiRow(
            demand_class=decided.problem.labels.classes[api.demand_class],
            provider=api.provider,
            product=api.product,
            model=api.model,
            served_frac=decided.solution.api_frac[a].tolist(),
        )
        for a, api in enumerate(decided.case.offers.apis)
        if decided.solution.api_frac[a].max(initial=0.0) > SOME
    ]


def periods(decided: Decided) -> list[Period]:
    """Planning periods."""
    when = decided.case.traffic.calendar
    return [
        Period(label=label, first_month=int(first), months=when.period_months, fiscal_year=year)
        for label, first, year in zip(
            when.labels, when.first_months, when.fiscal_years, strict=True
        )
    ]


def blocks(decided: Decided) -> list[Block]:
    """Load blocks."""
    traffic = decided.case.traffic
    return [
        Block(label=label, day=DAYS[day], hours=traffic.load.hours[:, b].tolist())
        for b, (label, day) in enumerate(
            zip(traffic.blocks.labels, traffic.blocks.day_of_block.tolist(), strict=True)
        )
    ]


def demand(decided: Decided) -> list[ClassTraffic]:
    """Demand as planned."""
    traffic = decided.case.traffic
    return [
        ClassTraffic(
            name=d.name,
            kind=d.kind,
            models=list(d.models),
            peak_rps=traffic.load.peak_rps[i].tolist(),
            mean_rps=traffic.load.mean_rps[i].tolist(),
            input_tokens_mean=traffic.lengths[i].input_mean,
            output_tokens_mean=traffic.lengths[i].output_mean,
            prefix_cache_hit_frac=traffic.lengths[i].prefix_hit_frac,
        )
        for i, d in enumerate(decided.case.scenario.demand)
        if isinstance(d, Online | Batch)
    ]
