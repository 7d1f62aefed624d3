"""Cash rows of every way of getting capacity, as lines and inputs of the ledger.

Each function gives the rows of one option for any quantity: `unit.unit_npv` evaluates them for
one unit (the objective's coefficient), reports for the plan's quantities. Cost is positive; cash
is shown when it falls due, beyond the horizon too, and the ledger's `counted` line says how much
of that enters the net present value.

Conventions. A lot is paid for in the month of its order and serves, pays rent, maintenance and
insurance from `lead_months` later to the end of the horizon. Maintenance and insurance are a
share a year of the price paid for machines in service. Prices move by the year's power from the
scenario's first month. The end value is the condition factor times what machines in service have
kept of the price paid, declining from the month they enter service, less the cost of selling;
network (unless in the price), storage and installation keep nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.finance.calendar import CALENDAR
from planner.finance.ledger import Input, Line
from planner.finance.offers import (
    ApiOffer,
    Assumed,
    CommitmentOffer,
    Common,
    OnDemandOffer,
    OwnedOffer,
    SiteCosts,
    api_key,
    energy_key,
    owned_key,
    rented_key,
    slug,
)

Rows = tuple[tuple[Line, ...], tuple[Input, ...]]

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
}


def common_lines(common: Common) -> Rows:
    """Calendar, discounting, escalators and price paths: first in every ledger."""
    inputs = [
        getattr(common, name).as_input(name, label, unit)
        for name, (label, unit) in COMMON_INPUTS.items()
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
    return tuple(lines), tuple(inputs)


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


def owned_lines(offer: OwnedOffer, site: SiteCosts) -> Rows:
    """Machines bought for one site; the quantity is `<key>_bought`, lots ordered by month.

    Raises
    ------
    ValueError : costs of another site than the offer's.
    """
    key, machine = owned_key(offer.accelerator, offer.site), slug(offer.accelerator)
    if site.site != offer.site:
        raise ValueError(f"{key}: costs are those of {site.site!r}")
    lines = (
        *_purchase(offer, key, machine),
        *_upkeep(offer, key, machine, f"site_{slug(site.site)}"),
        *_end_value(offer, key, machine),
    )
    inputs = (
        offer.lot_usd.as_input(
            f"{machine}_lot_usd", f"{offer.accelerator}, a {offer.lot_name}", "USD"
        ),
        offer.lead_months.as_input(
            f"{machine}_lead_months", f"{offer.accelerator}, order to in service", "months"
        ),
        offer.lot_kw.as_input(
            f"{machine}_lot_kw", f"{offer.accelerator}, IT power of a {offer.lot_name}", "kW"
        ),
        offer.idle_frac.as_input(
            f"{machine}_idle_frac", f"{offer.accelerator}, power without work", "frac"
        ),
        *site_inputs(site),
    )
    return lines, inputs


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


def _purchase(offer: OwnedOffer, key: str, machine: str) -> list[Line]:
    lots, group = f"{offer.lot_name}s", offer.label
    adders = [("storage", "Storage"), ("installation", "Installation and initial spares")]
    if not offer.price_includes_network:
        adders.insert(0, ("network", "Network"))
    return [
        Line(f"{key}_bought", "Ordered", lots, "quantity", group=group),
        Line(
            f"{key}_price_usd", f"Price of a {offer.lot_name} ordered", "USD", "calculation",
            f"{machine}_lot_usd * {path_key('capex', offer.path)}", group=group,
        ),
        Line(
            f"{key}_servers_usd", "Servers", "USD", "cash",
            f"{key}_bought * {key}_price_usd", "capex", group,
        ),
        *(
            Line(
                f"{key}_{adder}_usd", title, "USD", "cash",
                f"{key}_servers_usd * {adder}_frac", "capex", group,
            )
            for adder, title in adders
        ),
    ]  # fmt: skip


def _upkeep(offer: OwnedOffer, key: str, machine: str, place: str) -> list[Line]:
    group = offer.label
    share = "{key}_value_in_service_usd * {name}_frac_per_year / 12"
    return [
        Line(
            f"{key}_in_service", "In service", f"{offer.lot_name}s", "calculation",
            f"(prev + lag({key}_bought, {machine}_lead_months)) * in_horizon", group=group,
        ),
        Line(
            f"{key}_value_in_service_usd", "Price paid for machines in service", "USD",
            "calculation",
            f"(prev + lag({key}_servers_usd, {machine}_lead_months)) * in_horizon", group=group,
        ),
        Line(
            f"{key}_maintenance_usd", "Hardware maintenance", "USD", "cash",
            share.format(key=key, name="maintenance"), "maintenance", group,
        ),
        Line(
            f"{key}_insurance_usd", "Insurance", "USD", "cash",
            share.format(key=key, name="insurance"), "insurance", group,
        ),
        Line(
            f"{key}_rent_usd", "Rent for contracted power", "USD", "cash",
            f"{key}_in_service * {machine}_lot_kw * {place}_rent_usd_per_kw_month"
            " * rent_escalator", "rent", group,
        ),
        Line(
            f"{key}_idle_energy_usd", "Energy without work, with PUE", "USD", "cash",
            f"{key}_in_service * {machine}_lot_kw * {machine}_idle_frac * hours * {place}_pue"
            f" * {place}_electricity_usd_per_kwh * electricity_escalator", "energy", group,
        ),
    ]  # fmt: skip


def _end_value(offer: OwnedOffer, key: str, machine: str) -> list[Line]:
    """A machine that entered service m months before the month's end has kept (1 - d)^(m/12)."""
    return [
        Line(
            f"{key}_kept_value_usd", "Price paid less market decline, month end", "USD",
            "calculation",
            f"(prev + lag({key}_servers_usd, {machine}_lead_months))"
            " * (1 - decline_per_year) ** (1 / 12)", group=offer.label,
        ),
        Line(
            f"{key}_end_value_usd", "End value", "USD", "cash",
            f"-last_month * {key}_kept_value_usd * condition_frac * (1 - selling_cost_frac)",
            "end value", offer.label,
        ),
    ]  # fmt: skip


def commitment_lines(offer: CommitmentOffer) -> Rows:
    """Machines reserved in one region; the quantity is `<key>_signed`, lots by month.

    The rate is that of the month in which the contract starts and stays for its term.
    """
    key, group = rented_key(offer.option, offer.accelerator, offer.site), offer.label
    term = f"{slug(offer.option)}_term_months"
    lines = (
        Line(f"{key}_signed", "Signed", f"{offer.lot_name}s", "quantity", group=group),
        Line(
            f"{key}_in_force", "In force", f"{offer.lot_name}s", "calculation",
            f"prev + {key}_signed - lag({key}_signed, {term})", group=group,
        ),
        Line(
            f"{key}_signed_usd_per_h", "Rate of contracts signed", "USD/h", "calculation",
            f"{key}_signed * {key}_gpus * {key}_usd_per_gpu_h * {path_key('rental', offer.path)}",
            group=group,
        ),
        Line(
            f"{key}_usd_per_h", "Rate of contracts in force", "USD/h", "calculation",
            f"prev + {key}_signed_usd_per_h - lag({key}_signed_usd_per_h, {term})", group=group,
        ),
        Line(
            f"{key}_paid_usd", "Reserved machines", "USD", "cash",
            f"{key}_usd_per_h * hours", "commitments", group,
        ),
        _support(key, group),
    )  # fmt: skip
    inputs = (
        *_rented_inputs(key, offer.label, offer.usd_per_gpu_h, offer.lot_gpus, offer.lot_name),
        offer.term_months.as_input(term, f"Term of {offer.option}", "months"),
    )
    return lines, inputs


def on_demand_lines(offer: OnDemandOffer) -> Rows:
    """Machines rented by the hour; the quantity is `<key>_lot_hours`, lot-hours by month."""
    key, group = rented_key("on_demand", offer.accelerator, offer.site), offer.label
    lines = (
        Line(f"{key}_lot_hours", "Rented", f"{offer.lot_name}-h", "quantity", group=group),
        Line(
            f"{key}_price_usd_per_h", f"Price of a {offer.lot_name}-hour", "USD/h", "calculation",
            f"{key}_gpus * {key}_usd_per_gpu_h * {path_key('rental', offer.path)}", group=group,
        ),
        Line(
            f"{key}_paid_usd", "On-demand machines", "USD", "cash",
            f"{key}_lot_hours * {key}_price_usd_per_h", "on demand", group,
        ),
        _support(key, group),
    )  # fmt: skip
    inputs = _rented_inputs(key, offer.label, offer.usd_per_gpu_h, offer.lot_gpus, offer.lot_name)
    return lines, inputs


def _support(key: str, group: str) -> Line:
    return Line(
        f"{key}_support_usd", "Provider's support", "USD", "cash",
        f"{key}_paid_usd * cloud_support_frac", "support", group,
    )  # fmt: skip


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
            f"{key}_{kind}_mtokens * {key}_{kind}_usd_per_mtoken * api_path", "api", group,
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
            " * electricity_escalator", "energy", group,
        ),
    )  # fmt: skip
    return lines, site_inputs(site)


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
