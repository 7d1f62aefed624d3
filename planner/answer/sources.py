"""Where every figure of the plan comes from, and what the reader should know about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from planner.answer import tax
from planner.answer.decided import SOME, Decided
from planner.answer.money import Books
from planner.candidates.disaggregated import HANDOVER, NETWORK_FRAC
from planner.candidates.enumerate import ANY
from planner.candidates.machines import FAILURES
from planner.candidates.offers import FULL, IDLE
from planner.candidates.traffic import REMAINING
from planner.finance.ledger import Input
from planner.result import LedgerInput, SourceRow
from planner.schema.base import Sourced
from planner.schema.demand import Online

STALE = "price-stale-days"
READ_ASSUMPTIONS = (FULL, IDLE, *FAILURES, STALE)
PRICE_UNITS = ("USD", "USD/GPU/h", "USD/Mtoken", "USD/kWh", "USD/kW/month")


def ledger_inputs(inputs: Iterable[Input]) -> list[LedgerInput]:
    """Inputs of the ledger for the plan."""
    return [
        LedgerInput(
            name=given.name,
            label=given.label,
            unit=given.unit,
            value=given.value,
            scenario_path=given.scenario_path,
            source=given.source,
            as_of=given.as_of,
            basis=given.basis,  # type: ignore[arg-type]
        )
        for given in inputs
    ]


def sources(decided: Decided, books: Books, today: date) -> list[SourceRow]:
    """Source rows: money, machines, models, formats, calibration, the scenario's own."""
    limit = decided.case.catalog.assumptions[STALE].value
    return [
        *(_money(given, today, limit) for given in books.inputs),
        *_used(decided),
        *_measured(decided),
        *_corrections(decided),
        *_calibration(decided),
        *(
            SourceRow(what=path, value="", unit="", source=text, as_of="", basis="scenario",
                      used_in="scenario")
            for path, text in decided.case.scenario.sources.items()
        ),
    ]  # fmt: skip


def _money(given: Input, today: date, limit_days: float) -> SourceRow:
    return SourceRow(
        what=given.label,
        value=f"{given.value:,.6g}",
        unit=given.unit,
        source=given.source,
        as_of=given.as_of,
        basis=given.basis,
        used_in="money",
        stale=is_stale(given, today, limit_days),
    )


def is_stale(given: Input, today: date, limit_days: float) -> bool:
    """Whether a price is older than prices may be."""
    money, slash, per = given.unit.partition("/")
    is_price = f"USD{slash}{per}" in PRICE_UNITS and money.isupper() and len(money) == len("USD")
    if not is_price or not given.as_of:
        return False
    return (today - date.fromisoformat(given.as_of)).days > limit_days


def _used(decided: Decided) -> Iterator[SourceRow]:
    """Accelerators, models, engines and formats of the pools that serve."""
    catalog, seen = decided.case.catalog, set()
    for c, _ in decided.used_pools:
        config = decided.case.table.configurations[decided.axes.kept[c]]
        rows: list[tuple[str, str, Mapping[str, Sourced]]] = [
            *(("accelerator", name, catalog.accelerators) for name in config.accelerators),
            ("model", config.model, catalog.models),
            ("engine", config.engine, catalog.engines),
            ("format", config.quantization, catalog.quantizations),
            ("format", f"kv-{config.kv_dtype}", catalog.quantizations),
        ]
        if config.draft:
            rows.append(("draft", config.draft, catalog.speculators))
        for kind, name, known in rows:
            unstated = name in (ANY, f"kv-{ANY}")  # a measured rate need not say it
            if (kind, name) not in seen and not unstated:
                seen.add((kind, name))
                yield _row(f"{kind} {name}", known[name], kind)


def _measured(decided: Decided) -> Iterator[SourceRow]:
    """Rates of the serving table that the fleet relies on."""
    table = decided.case.table
    for i in dict.fromkeys(decided.axes.kept[c] for c, _ in decided.used_pools):
        config = table.configurations[i]
        if config.measured_rps is not None:
            yield SourceRow(what=f"measured rate {table.names[i]}",
                            value=f"{config.measured_rps:.6g}", unit="requests/s/replica",
                            source=config.source, as_of="", basis="measured",
                            used_in="performance")  # fmt: skip


def _corrections(decided: Decided) -> Iterator[SourceRow]:
    """Own measurements that correct the pools that serve."""
    catalog, table = decided.case.catalog, decided.case.table
    used = {decided.axes.kept[c] for c, _ in decided.used_pools}
    groups = {
        (name, config.model, config.engine)
        for config in (table.configurations[i] for i in used)
        for name in config.accelerators
    }
    for group in sorted(groups):
        row = catalog.correction(*group)
        if row is not None:
            value = f"{row.time_ratio:.4g} ({row.band_low_frac:.2f} to {row.band_high_frac:.2f})"
            yield _row(f"correction {', '.join(group)}", row, "performance", value,
                       "x the model's step time")  # fmt: skip


def _row(what: str, row: Sourced, used_in: str, value: str = "", unit: str = "") -> SourceRow:
    return SourceRow(what=what, value=value, unit=unit, source=row.source,
                     as_of=row.as_of.isoformat(), basis=row.basis.value,
                     used_in=used_in)  # fmt: skip


def _calibration(decided: Decided) -> Iterator[SourceRow]:
    """Coefficients of the engines and generations in use, and the single figures that are read."""
    catalog = decided.case.catalog
    engines = {row.calibration for row in catalog.engines.values() if row.calibration}
    generations = {row.generation for row in catalog.accelerators.values()}
    for c, _ in decided.used_pools:
        config = decided.case.table.configurations[decided.axes.kept[c]]
        if config.engine != ANY:
            engines.discard(catalog.engines[config.engine].calibration)
        for name in config.accelerators:
            generations.discard(catalog.accelerators[name].generation)
    others = {*engines, *generations}
    for name, fitted in catalog.calibration.items():
        if not others & set(name.split("_")):
            value = f"{fitted.value:.6g}"
            yield _row(f"calibration {name}", fitted, "performance", value, fitted.unit)
    hits = any(one.prefix_hit_frac > 0 for one in decided.case.traffic.lengths)
    used = (decided.case.table.configurations[decided.axes.kept[c]] for c, _ in decided.used_pools)
    moved = (HANDOVER, NETWORK_FRAC) if any(config.decode for config in used) else ()
    for name in (*READ_ASSUMPTIONS, *([REMAINING] if hits else []), *moved):
        single = catalog.assumptions[name]
        yield _row(f"assumption {name}", single, "assumptions", f"{single.value:.6g}", single.unit)


def notes(decided: Decided, books: Books, today: date) -> list[str]:
    """Solved, but you should know."""
    limit = decided.case.catalog.assumptions[STALE].value
    stale = [given for given in books.inputs if is_stale(given, today, limit)]
    guessed = [given for given in books.inputs if given.basis == "estimated"]
    found = [*_about_rates(decided), *_about_prefix_hits(decided), *decided.case.offers.notes]
    if stale:
        found.append(f"Prices older than {limit:.0f} days: {_list(stale)}.")
    if guessed:
        found.append(f"Estimated, not sourced: {_list(guessed)}.")
    return [
        *found,
        *tax.notes(decided, books),
        *_about_candidates(decided),
        *_about_machines(decided),
    ]


def _list(inputs: Sequence[Input]) -> str:
    return "; ".join(given.label for given in inputs)


def _about_rates(decided: Decided) -> Iterator[str]:
    """Where the promised rates of the pools used come from."""
    table, kept = decided.case.table, decided.axes.kept
    demand = decided.case.scenario.demand
    used = {kept[c] for c, _ in decided.used_pools}
    online = [i for i in used if isinstance(demand[table.configurations[i].demand_class], Online)]
    if used and all(table.configurations[i].measured_rps is not None for i in used):
        return
    if online and all(table.simulated[i] for i in online):
        yield (
            "Rates of every pool used are simulated; the gap is proven against all others at "
            "the most that simulation may give them."
        )
    else:
        yield (
            "Rates are the formulas', not simulated: the gap is proven for them alone; "
            "planner verify simulates this fleet, planner solve --refine with more time plans on "
            "simulated rates."
        )


def _about_prefix_hits(decided: Decided) -> Iterator[str]:
    """What routing must do for the hits that rates count on."""
    table = decided.case.table
    pools = [
        decided.axes.kept[c] for c, s in decided.used_pools if decided.whole_peak(c, s).max() > 1
    ]
    classes = {table.configurations[i].demand_class for i in pools}
    named = [table.classes[d] for d in sorted(classes) if table.lengths[d].prefix_hit_frac > 0]
    if named:
        yield (
            f"{', '.join(named)}: rates count on all stated prefix hits and on evenly loaded "
            "replicas at once; in simulated pools at 60 % of hits, routing by prefix kept up to "
            "10 % less (docs/latency.md)."
        )


def _about_candidates(decided: Decided) -> Iterator[str]:
    table = decided.case.table
    used = dict.fromkeys(decided.axes.kept[c] for c, _ in decided.used_pools)
    for i in used:
        if table.configurations[i].measured_rps is not None:
            yield (f"Rate from the serving table, not from the performance model; latency is "
                   f"whatever was measured: {table.names[i]}.")  # fmt: skip
        if table.labels[i] == "extrapolated":
            yield f"Performance is extrapolated, not measured: {table.names[i]}."
    blocks = decided.case.traffic.blocks
    for d, name in enumerate(table.classes):
        over = float(blocks.overstatement_frac[d])
        if over > 0.05:
            yield (f"{name}: load blocks overstate hourly peaks by {over:.0%} on average; more "
                   "blocks (planning.load_blocks) cost less.")  # fmt: skip


def _about_machines(decided: Decided) -> Iterator[str]:
    x = decided.solution
    for g, name in enumerate(decided.axes.accelerators):
        row = decided.case.catalog.accelerators[name]
        held = x.lots_bought[g].any() or x.lots_signed[:, g].any()
        if held and row.lot_name == "rack":
            yield (f"{row.title}: spares cover trays that fail one by one; a whole rack that fails "
                   "(switches, power shelf, cooling) is not covered.")  # fmt: skip
    if (x.api_frac > SOME).any():
        yield "Traffic sent to an API has the provider's latency; none is promised here."
    running = decided.case.scenario.finance.running
    unplanned = {
        "Staff": running.staff_per_accelerator,
        "software licences": running.licence_usd_per_gpu_year,
    }
    missing = " and ".join(name for name, given in unplanned.items() if not given)
    if missing and x.lots_bought.any():
        verb = "is" if missing == "Staff" else "are"
        yield f"{missing[0].upper()}{missing[1:]} {verb} not in the cost: finance.running."
    rented = x.lots_signed.any() or (x.lots_on_demand > SOME).any()
    if rented and not decided.case.scenario.finance.egress.usd_per_gb:
        yield "Traffic out of clouds is taken as free: finance.egress."
