"""Rows of rented machines, APIs and energy, and those that all options share.

Each function gives the rows of one option for any quantity: `unit.unit_npv` evaluates them for
one unit (the objective's coefficient), reports for the plan's quantities. Cost is positive; cash
is shown when it falls due, beyond the horizon too, and the ledger's `counted` line says how much
of that enters the net present value.

Conventions. Prices move by the year's power from the scenario's first month. A contract keeps the
rate of its first month; the share of its price that is paid when it is signed is an expense of its
term, hour by hour. Prices in other currencies are translated at the rate of the month in which
machines are ordered, a contract signed, hours, tokens or energy used. Own machines are in `owned`,
leases in `lease_lines`, income tax in `tax`.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.finance import lease_lines, tax
from planner.finance.calendar import CALENDAR
from planner.finance.ledger import Input, Line, Rows
from planner.finance.offers import (
    ApiOffer,
    Assumed,
    CommitmentOffer,
    Common,
    OnDemandOffer,
    Running,
    SiteCosts,
    api_key,
    egress_group,
    egress_key,
    energy_key,
    fx_key,
    rented_key,
    slug,
)

COMMON_INPUTS = {
    "discount_rate": ("Discount rate, nominal", "1/year"),
    "discount_timing": ("Months before month end at which cash falls", "months"),
    "tail_value_frac": ("Share of cost beyond the horizon with value then", "frac"),
    "electricity_per_year": ("Rise of electricity price", "1/year"),
    "rent_per_year": ("Rise of rent", "1/year"),
    "network_frac": ("Network, of server price", "frac"),
    "storage_frac": ("Storage, of server price", "frac"),
    "installation_frac": ("Installation and initial spares, of server price", "frac"),
    "maintenance_frac_per_year": ("Hardware maintenance, of server price", "1/year"),
    "insurance_frac_per_year": ("Insurance, of server price", "1/year"),
    "cloud_support_frac": ("Support uplift on rented machines", "frac"),
    "decline_per_year": ("Decline of market value", "1/year"),
    "condition_frac": ("Used-condition factor", "frac"),
    "selling_cost_frac": ("Cost of selling, of proceeds", "frac"),
    "api_per_year": ("Change of per-token prices", "1/year"),
    "payment_order_frac": ("Share of a purchase paid with the order", "frac"),
    "payment_delivery_frac": ("Share of a purchase paid at entry into service", "frac"),
    "payment_acceptance_months": (
        "Entry into service to acceptance, when the rest is paid",
        "months",
    ),
    "book_life_years": ("Straight-line life in the books", "years"),
}


def common_lines(common: Common) -> Rows:
    """Calendar, discounting, escalators and price paths: first in every ledger."""
    after = ", after tax" if common.tax is not None else ""
    inputs = [
        getattr(common, name).as_input(
            name, label + (after if name == "discount_rate" else ""), unit
        )
        for name, (label, unit) in COMMON_INPUTS.items()
        if not (common.residual_curve and name == "decline_per_year")
    ]
    inputs += [
        kept.as_input(kept_key(year), f"Value kept after {year} years, of the price paid", "frac")
        for year, kept in enumerate(common.residual_curve, 1)
    ]
    lines = [
        *CALENDAR,
        _escalator("electricity_escalator", "Electricity price index", "electricity_per_year"),
        _escalator("rent_escalator", "Rent index", "rent_per_year"),
        _escalator("api_path", "Per-token price index", "api_per_year"),
    ]
    for what, title, paths in (
        ("capex", "Purchase price", common.capex_per_year),
        ("rental", "Rental price", common.rental_per_year),
    ):
        for path, rate in paths.items():
            name = f"{what}_per_year_{slug(path)}"
            inputs.append(rate.as_input(name, f"Change of {title.lower()}s, {path}", "1/year"))
            lines.append(_escalator(path_key(what, path), f"{title} index, {path}", name))
    if common.fx:
        lines.append(
            Line("calendar_year", "Calendar year, 1 for the first", "number", "quantity",
                 group="Indices")
        )  # fmt: skip
    for currency, rates in common.fx.items():
        inputs += _fx_inputs(currency, rates)
        lines.append(_fx_line(currency, len(rates)))
    if common.leases:
        lines += lease_lines.common_lines(common.borrowing_rate)
        if common.borrowing_rate is not None:
            inputs.append(common.borrowing_rate.as_input(*lease_lines.BORROWING_RATE))
    if common.tax is None:
        return tuple(lines), tuple(inputs)
    tax_lines, tax_inputs = tax.common_lines(common.tax)
    return (*lines, *tax_lines), (*inputs, *tax_inputs)


def kept_key(year: int) -> str:
    """Input of the residual curve.

    Examples
    --------
    >>> kept_key(2)
    'residual_kept_year_2'
    """
    return f"residual_kept_year_{year}"


def _fx_inputs(currency: str, rates: tuple[Assumed, ...]) -> list[Input]:
    key, unit = fx_key(currency), f"USD/{currency}"
    return [
        rate.as_input(f"{key}_year_{year}", f"USD for one {currency}, calendar year {year}", unit)
        for year, rate in enumerate(rates, 1)
    ]


def _fx_line(currency: str, years: int) -> Line:
    key, last = fx_key(currency), " + ".join(["1"] * years)
    names = ", ".join(f"{key}_year_{year}" for year in range(1, years + 1))
    return Line(
        key, f"USD for one {currency}", f"USD/{currency}", "calculation",
        f"pick(min(calendar_year, {last}), {names})" if years > 1 else names, group="Indices",
    )  # fmt: skip


def path_key(what: str, path: str) -> str:
    """Line of a price path.

    Examples
    --------
    >>> path_key("rental", "hopper")
    'rental_path_hopper'
    """
    return f"{what}_path_{slug(path)}"


def _escalator(key: str, label: str, rate: str) -> Line:
    return Line(key, label, "factor", "calculation", f"(1 + {rate}) ** years", group="Indices")


def site_inputs(site: SiteCosts) -> tuple[Input, ...]:
    """PUE, electricity and rent of a place."""
    key = f"site_{slug(site.site)}"
    return (
        site.pue.as_input(f"{key}_pue", f"PUE at {site.site}", "ratio"),
        site.electricity_usd_per_kwh.as_input(
            f"{key}_electricity_usd_per_kwh", f"Electricity at {site.site}", "USD/kWh"
        ),
        site.rent_usd_per_kw_month.as_input(
            f"{key}_rent_usd_per_kw_month", f"Rent at {site.site}", "USD/kW/month"
        ),
    )


def commitment_lines(offer: CommitmentOffer) -> Rows:
    """Machines reserved in one region; the quantity is `<key>_signed`, lots by month.

    The rate is that of the month in which the contract starts and stays for its term.
    """
    key, group = rented_key(offer.option, offer.accelerator, offer.site), offer.label
    term, upfront = f"{slug(offer.option)}_term_months", f"{slug(offer.option)}_upfront_frac"
    leased = lease_lines.on_balance_sheet(offer.treatment)
    lines = (
        Line(f"{key}_signed", "Signed", f"{offer.lot_name}s", "quantity", group=group),
        Line(
            f"{key}_in_force", "In force", f"{offer.lot_name}s", "calculation",
            f"prev + {key}_signed - lag({key}_signed, {term})", group=group,
        ),
        Line(
            f"{key}_signed_usd_per_h", "Rate of contracts signed", "USD/h", "calculation",
            f"{key}_signed * {key}_gpus * {key}_usd_per_gpu_h"
            f" * {path_key('rental', offer.path)}{offer.usd_per_gpu_h.in_usd}", group=group,
        ),
        Line(
            f"{key}_usd_per_h", "Rate of contracts in force", "USD/h", "calculation",
            f"prev + {key}_signed_usd_per_h - lag({key}_signed_usd_per_h, {term})", group=group,
        ),
        Line(
            f"{key}_signed_usd", "Value of contracts signed", "USD", "calculation",
            f"{key}_signed_usd_per_h"
            f" * (ahead(hours_so_far, {term} - 1) - hours_so_far + hours)", group=group,
        ),
        Line(
            f"{key}_upfront_usd", "Paid when signed", "USD", "cash",
            f"{key}_signed_usd * {upfront}", "commitments", group, deferred=True,
        ),
        Line(
            f"{key}_paid_usd", "Reserved machines", "USD", "cash",
            f"{key}_usd_per_h * hours * (1 - {upfront})", "commitments", group, deferred=leased,
        ),
        Line(
            f"{key}_amortized_usd", "Prepayment used up", "USD",
            "calculation" if leased else "book", f"{key}_usd_per_h * hours * {upfront}",
            "" if leased else "amortization", group,
        ),
        Line(
            f"{key}_obligation_usd", "Still owed at month end", "USD", "calculation",
            f"prev + {key}_signed_usd - {key}_upfront_usd - {key}_paid_usd", "obligation", group,
        ),
        Line(
            f"{key}_support_usd", "Provider's support", "USD", "cash",
            f"({key}_paid_usd + {key}_amortized_usd) * cloud_support_frac", "support", group,
        ),
        *_licences(offer.running, key, group),
        *lease_lines.lines(offer.treatment, key, group, term=term, upfront=upfront),
    )  # fmt: skip
    inputs = (
        *_rented_inputs(key, offer.label, offer.usd_per_gpu_h, offer.lot_gpus, offer.lot_name),
        offer.term_months.as_input(term, f"Term of {offer.option}", "months"),
        offer.upfront_frac.as_input(upfront, f"Paid when signed, of {offer.option}", "frac"),
        *licence_inputs(offer.running),
    )
    return lines, inputs


def on_demand_lines(offer: OnDemandOffer) -> Rows:
    """Machines rented by the hour; the quantity is `<key>_lot_hours`, lot-hours by month."""
    key, group = rented_key("on_demand", offer.accelerator, offer.site), offer.label
    lines = [
        Line(f"{key}_lot_hours", "Rented", f"{offer.lot_name}-h", "quantity", group=group),
        Line(
            f"{key}_price_usd_per_h", f"Price of a {offer.lot_name}-hour", "USD/h", "calculation",
            f"{key}_gpus * {key}_usd_per_gpu_h * {path_key('rental', offer.path)}"
            f"{offer.usd_per_gpu_h.in_usd}", group=group,
        ),
        Line(
            f"{key}_paid_usd", "On-demand machines", "USD", "cash",
            f"{key}_lot_hours * {key}_price_usd_per_h", "on demand", group,
        ),
        Line(
            f"{key}_support_usd", "Provider's support", "USD", "cash",
            f"{key}_paid_usd * cloud_support_frac", "support", group,
        ),
    ]  # fmt: skip
    inputs = list(
        _rented_inputs(key, offer.label, offer.usd_per_gpu_h, offer.lot_gpus, offer.lot_name)
    )
    licence = offer.running.licence_usd_per_gpu_hour
    if licence is not None:
        name = "licence_usd_per_gpu_hour"
        formula = f"{key}_lot_hours * {key}_gpus * {name}"
        lines.append(
            Line(f"{key}_licences_usd", "Software licences", "USD", "cash", formula, "licences",
                 group)
        )  # fmt: skip
        inputs.append(licence.as_input(name, "Software of rented accelerators", "USD/GPU/h"))
    return tuple(lines), tuple(inputs)


def _licences(running: Running, key: str, group: str) -> list[Line]:
    """Software of contracts in force; nothing of it is owed beyond the horizon."""
    if running.licence_usd_per_gpu_year is None:
        return []
    formula = f"{key}_in_force * in_horizon * {key}_gpus * licence_usd_per_gpu_year / 12"
    return [
        Line(f"{key}_licences_usd", "Software licences", "USD", "cash", formula, "licences", group)
    ]


def licence_inputs(running: Running) -> list[Input]:
    """Software of own and reserved accelerators."""
    licence = running.licence_usd_per_gpu_year
    if licence is None:
        return []
    name = "licence_usd_per_gpu_year"
    return [licence.as_input(name, "Software of own and reserved accelerators", "USD/GPU/year")]


def _rented_inputs(
    key: str, label: str, usd_per_gpu_h: Assumed, lot_gpus: Assumed, lot_name: str
) -> tuple[Input, ...]:
    return (
        usd_per_gpu_h.as_input(f"{key}_usd_per_gpu_h", label, "USD/GPU/h"),
        lot_gpus.as_input(f"{key}_gpus", f"{label}, accelerators a {lot_name}", "GPUs"),
    )


API_TOKENS = ("input", "cached", "output")
"""Kinds of tokens of an API; `<key>_<kind>_mtokens` are its quantities."""


def api_lines(offer: ApiOffer) -> Rows:
    """Tokens of one hosted model; quantities `<key>_{input,cached,output}_mtokens` by month."""
    key, group = api_key(offer.name), offer.label
    prices = {
        "input": offer.input_usd_per_mtoken,
        "cached": offer.cached_input_usd_per_mtoken or offer.input_usd_per_mtoken,
        "output": offer.output_usd_per_mtoken,
    }
    quantities = [
        Line(f"{key}_{kind}_mtokens", f"{kind.capitalize()} tokens", "Mtokens", "quantity",
             group=group)
        for kind in API_TOKENS
    ]  # fmt: skip
    cash = [
        Line(
            f"{key}_{kind}_usd", f"{kind.capitalize()} tokens", "USD", "cash",
            f"{key}_{kind}_mtokens * {key}_{kind}_usd_per_mtoken * api_path"
            f"{prices[kind].in_usd}", "api", group,
        )
        for kind in API_TOKENS
    ]  # fmt: skip
    inputs = [
        prices[kind].as_input(
            f"{key}_{kind}_usd_per_mtoken", f"{offer.label}, {kind} tokens", "USD/Mtoken"
        )
        for kind in API_TOKENS
    ]
    return (*quantities, *cash), tuple(inputs)


def active_energy_lines(site: SiteCosts) -> Rows:
    """Energy of work at one site; the quantity is `<key>_it_kwh`, IT energy above idle by month."""
    key, place, group = energy_key(site.site), f"site_{slug(site.site)}", f"Energy at {site.site}"
    lines = (
        Line(f"{key}_it_kwh", "IT energy above idle", "kWh", "quantity", group=group),
        Line(
            f"{key}_usd", "Energy of work, with PUE", "USD", "cash",
            f"{key}_it_kwh * {place}_pue * {place}_electricity_usd_per_kwh"
            f" * electricity_escalator{site.electricity_usd_per_kwh.in_usd}", "energy", group,
        ),
    )  # fmt: skip
    return lines, site_inputs(site)


def egress_lines(site: str, usd_per_gb: Assumed) -> Rows:
    """Traffic out of one cloud; the quantity is `<key>_gb`, 10^9 bytes by month."""
    key, group = egress_key(site), egress_group(site)
    lines = (
        Line(f"{key}_gb", "Traffic out of the cloud", "GB", "quantity", group=group),
        Line(
            f"{key}_usd", "Egress", "USD", "cash", f"{key}_gb * egress_usd_per_gb", "egress", group
        ),
    )
    price = usd_per_gb.as_input("egress_usd_per_gb", "Traffic out of clouds", "USD/GB")
    return lines, (price,)


def assemble(parts: Iterable[Rows]) -> Rows:
    """One ledger from the rows of many options; an input or line given twice stands once.

    Raises
    ------
    ValueError : two different lines or inputs under one name.
    """
    lines: dict[str, Line] = {}
    inputs: dict[str, Input] = {}
    for part_lines, part_inputs in parts:
        for line in part_lines:
            if lines.setdefault(line.key, line) != line:
                raise ValueError(f"line {line.key!r} is given twice with different content")
        for given in part_inputs:
            if inputs.setdefault(given.name, given) != given:
                raise ValueError(f"input {given.name!r} is given twice with different content")
    return tuple(lines.values()), tuple(inputs.values())
