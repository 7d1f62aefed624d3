"""Rows of machines bought: order, payment, running costs, books and end value.

Conventions. A lot serves, pays rent, maintenance and insurance from `lead_months` after its order
to the end of the horizon. Its price is paid with the order, at entry into service and on
acceptance, in the shares that the scenario states. Maintenance and insurance are a share a year
of the price paid for machines in service. The books write machines and what belongs to them down
to zero in a straight line over the book life, from the month of entry into service; what is left
at the end of the horizon, and what is ordered and not delivered then, is set against the end
value. The end value is the condition factor times what machines in service have kept of the
price paid, declining from the month they enter service, less the cost of selling; network (unless
in the price), storage, installation and sales tax keep nothing.
"""

from __future__ import annotations

from planner.finance.ledger import Input, Line, Rows, whole_years
from planner.finance.lines import kept_key, licence_inputs, path_key, site_inputs
from planner.finance.offers import OwnedOffer, SiteCosts, owned_key, slug


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
        *_upkeep(offer, key, machine, site),
        *_people(offer, key, machine),
        *_end_value(offer, key, machine),
        *_books(offer, key),
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
        *_running_inputs(offer, machine),
    )
    return lines, inputs


def _purchase(offer: OwnedOffer, key: str, machine: str) -> list[Line]:
    lots, group = f"{offer.lot_name}s", offer.label
    adders = [("storage", "Storage"), ("installation", "Installation and initial spares")]
    if not offer.price_includes_network:
        adders.insert(0, ("network", "Network"))
    taxes = _sales_tax(offer, key, adders)
    parts = ["servers", *(adder for adder, _ in adders), *(["sales_tax"] if taxes else [])]
    return [
        Line(f"{key}_bought", "Ordered", lots, "quantity", group=group),
        Line(
            f"{key}_price_usd", f"Price of a {offer.lot_name} ordered", "USD", "calculation",
            f"{machine}_lot_usd * {path_key('capex', offer.path)}{offer.lot_usd.in_usd}",
            group=group,
        ),
        Line(
            f"{key}_servers_usd", "Servers ordered", "USD", "calculation",
            f"{key}_bought * {key}_price_usd", group=group,
        ),
        *(
            Line(
                f"{key}_{adder}_usd", f"{title} ordered", "USD", "calculation",
                f"{key}_servers_usd * {adder}_frac", group=group,
            )
            for adder, title in adders
        ),
        *taxes,
        Line(
            f"{key}_orders_usd", "Orders", "USD", "calculation",
            " + ".join(f"{key}_{part}_usd" for part in parts), "orders", group,
        ),
        *_payments(key, machine, group),
        Line(
            f"{key}_placed_usd", "Placed in service", "USD", "calculation",
            f"lag({key}_orders_usd, {machine}_lead_months) * in_horizon", "placed in service",
            group,
        ),
    ]  # fmt: skip


def _sales_tax(offer: OwnedOffer, key: str, adders: list[tuple[str, str]]) -> list[Line]:
    if offer.running.sales_tax_frac is None:
        return []
    goods = ["servers", *(adder for adder, _ in adders if adder != "installation")]
    formula = f"({' + '.join(f'{key}_{part}_usd' for part in goods)}) * sales_tax_frac"
    return [
        Line(f"{key}_sales_tax_usd", "Sales tax", "USD", "calculation", formula, group=offer.label)
    ]


def _payments(key: str, machine: str, group: str) -> list[Line]:
    orders, lead = f"{key}_orders_usd", f"{machine}_lead_months"
    shares = (
        ("order", "Paid with the order", f"{orders} * payment_order_frac"),
        (
            "delivery",
            "Paid at entry into service",
            f"lag({orders}, {lead}) * payment_delivery_frac",
        ),
        (
            "acceptance",
            "Paid on acceptance",
            f"lag({orders}, {lead} + payment_acceptance_months)"
            " * (1 - payment_order_frac - payment_delivery_frac)",
        ),
    )
    return [
        *(
            Line(f"{key}_{when}_usd", label, "USD", "cash", formula, "capex", group, deferred=True)
            for when, label, formula in shares
        ),
        Line(
            f"{key}_unpaid_usd", "Ordered and not yet paid at month end", "USD", "calculation",
            f"prev + {orders} - {key}_order_usd - {key}_delivery_usd - {key}_acceptance_usd",
            "obligation", group,
        ),
    ]  # fmt: skip


def _upkeep(offer: OwnedOffer, key: str, machine: str, site: SiteCosts) -> list[Line]:
    place, group = f"site_{slug(site.site)}", offer.label
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
            f" * rent_escalator{site.rent_usd_per_kw_month.in_usd}", "rent", group,
        ),
        Line(
            f"{key}_idle_energy_usd", "Energy without work, with PUE", "USD", "cash",
            f"{key}_in_service * {machine}_lot_kw * {machine}_idle_frac * hours * {place}_pue"
            f" * {place}_electricity_usd_per_kwh * electricity_escalator"
            f"{site.electricity_usd_per_kwh.in_usd}", "energy", group,
        ),
    ]  # fmt: skip


def _people(offer: OwnedOffer, key: str, machine: str) -> list[Line]:
    """Staff and software, where the scenario plans them."""
    running, gpus = offer.running, f"{key}_in_service * {machine}_gpus"
    staff = (
        f"{gpus} * staff_per_accelerator * staff_usd_per_year * (1 + people_per_year) ** years / 12"
    )
    licences = f"{gpus} * licence_usd_per_gpu_year / 12"
    rows = (
        ("staff", "Staff", staff, running.staff_per_accelerator),
        ("licences", "Software licences", licences, running.licence_usd_per_gpu_year),
    )
    return [
        Line(f"{key}_{name}_usd", label, "USD", "cash", formula, name, offer.label)
        for name, label, formula, given in rows
        if given is not None
    ]


def _running_inputs(offer: OwnedOffer, machine: str) -> list[Input]:
    running = offer.running
    found = licence_inputs(running)
    for name, label, unit in (
        ("staff_per_accelerator", "Staff an own accelerator in service", "FTE/GPU"),
        ("staff_usd_per_year", "Cost of one full-time staff", "USD/year"),
        ("people_per_year", "Rise of cost of staff", "1/year"),
        ("sales_tax_frac", "Sales tax on servers, network and storage", "frac"),
    ):
        given = getattr(running, name)
        if given is not None:
            found.append(given.as_input(name, label, unit))
    if offer.lot_gpus is not None and (
        running.staff_per_accelerator or running.licence_usd_per_gpu_year
    ):
        label = f"{offer.accelerator}, accelerators a {offer.lot_name}"
        found.append(offer.lot_gpus.as_input(f"{machine}_gpus", label, "GPUs"))
    return found


def _end_value(offer: OwnedOffer, key: str, machine: str) -> list[Line]:
    """A machine that entered service m months before the month's end has kept (1 - d)^(m/12)."""
    decline = (
        f"(prev + lag({key}_servers_usd, {machine}_lead_months))"
        " * (1 - decline_per_year) ** (1 / 12)"
    )
    aged = f"{key}_aged_usd"
    months = Line(
        aged, "Price paid x months in service", "USD months", "calculation",
        f"(prev + {key}_value_in_service_usd) * in_horizon", group=offer.label,
    )  # fmt: skip
    return [
        *([months] if offer.curve_years else []),
        Line(
            f"{key}_kept_value_usd", "Price paid less market decline, month end", "USD",
            "calculation",
            _on_curve(f"{key}_value_in_service_usd", aged, offer.curve_years) or decline,
            group=offer.label,
        ),
        Line(
            f"{key}_end_value_usd", "End value", "USD", "cash",
            f"-last_month * {key}_kept_value_usd * condition_frac * (1 - selling_cost_frac)",
            "end value", offer.label, deferred=True,
        ),
    ]  # fmt: skip


def _on_curve(paid: str, aged: str, years: int) -> str:
    """Value kept of what was paid, straight between the years of the residual curve.

    With A(m) the sum over machines of price x months in service beyond the first m, year k takes
    (A(12 (k - 1)) - A(12 k)) / 12 of what the curve loses in it.
    """
    terms = [
        f"(lag({aged}, {whole_years(k - 1)}) - lag({aged}, {whole_years(k)})) / 12"
        f" * ({kept_key(k - 1) if k > 1 else '1'} - {kept_key(k)})"
        for k in range(1, years + 1)
    ]
    return " - ".join([paid, *terms]) if terms else ""


def _books(offer: OwnedOffer, key: str) -> list[Line]:
    group = offer.label
    return [
        Line(
            f"{key}_in_life_usd", "Cost of machines within their book life", "USD", "calculation",
            f"(prev + {key}_placed_usd - lag({key}_placed_usd, 12 * book_life_years)) * in_horizon",
            group=group,
        ),
        Line(
            f"{key}_depreciation_usd", "Depreciation, straight line", "USD", "book",
            f"{key}_in_life_usd / (12 * book_life_years)", "depreciation", group,
        ),
        Line(
            f"{key}_net_book_usd", "Net book value at month end, orders under way included",
            "USD", "calculation",
            f"(prev + {key}_orders_usd - {key}_depreciation_usd) * in_horizon", "net book value",
            group,
        ),
        Line(
            f"{key}_disposal_usd", "Loss on disposal (gain negative)", "USD", "book",
            f"last_month * {key}_net_book_usd + {key}_end_value_usd", "disposal", group,
        ),
    ]  # fmt: skip
