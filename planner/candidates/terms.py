"""The scenario's finance section as the ledger's assumptions, each with the path that sets it."""

from __future__ import annotations

from planner.candidates.quotes import TERM_MONTHS
from planner.finance.calendar import TIMING_MONTHS
from planner.finance.lease_lines import on_balance_sheet
from planner.finance.leases import Treatment, read
from planner.finance.offers import Assumed, Common, Running, TaxTerms
from planner.finance.tax import CONVENTIONS, METHODS
from planner.schema.finance import Finance, Lease, RateByGeneration, Tax
from planner.schema.scenario import Horizon
from planner.schema.supply import Option

OTHER = "other"
"""Price path of the accelerator generations that the scenario does not name."""


def common(finance: Finance, horizon: Horizon) -> Common:
    """Money assumptions with the paths by which `--set` reaches them."""
    adders, residual, paths = finance.adders, finance.residual, finance.price_paths
    return Common(
        discount_rate=own("discount_rate", finance.discount_rate),
        discount_timing=Assumed(
            TIMING_MONTHS[finance.discounting], f"cash at the {finance.discounting} of its month",
            "", "scenario",
        ),
        tail_value_frac=Assumed(
            horizon.tail_value_frac, "scenario", "", "scenario", "horizon.tail_value_frac"
        ),
        electricity_per_year=own(
            "escalators.electricity_per_year", finance.escalators.electricity_per_year
        ),
        rent_per_year=own("escalators.rent_per_year", finance.escalators.rent_per_year),
        **{
            name: own(f"adders.{name}", getattr(adders, name))
            for name in type(adders).model_fields
            if name != "sales_tax_frac"
        },
        **{
            name: own(f"residual.{name}", getattr(residual, name))
            for name in type(residual).model_fields
            if name != "curve"
        },
        residual_curve=tuple(
            own(f"residual.curve[{year}]", kept) for year, kept in enumerate(residual.curve)
        ),
        api_per_year=own("price_paths.api_per_year", paths.api_per_year),
        capex_per_year=_paths("capex_per_year", paths.capex_per_year),
        rental_per_year=_paths("rental_per_year", paths.rental_per_year),
        **{
            f"payment_{name}": own(f"payment.{name}", getattr(finance.payment, name))
            for name in ("order_frac", "delivery_frac", "acceptance_months")
        },
        book_life_years=own("book_life_years", finance.book_life_years),
        running=running(finance),
        fx={
            currency: _rates(currency, rate, int(horizon.start[:4]))
            for currency, rate in finance.fx.items()
        },
        tax=_tax(finance.tax),
        egress_usd_per_gb=_egress(finance),
        leases=_leases(finance.lease),
        borrowing_rate=_borrowing_rate(finance.lease),
    )  # fmt: skip


def _egress(finance: Finance) -> Assumed | None:
    price = finance.egress.usd_per_gb
    return own("egress.usd_per_gb", price) if price else None


def _borrowing_rate(lease: Lease) -> Assumed | None:
    if lease.borrowing_rate is None:
        return None
    return own("lease.borrowing_rate", lease.borrowing_rate)


def own(path: str, value: float) -> Assumed:
    """A figure of the scenario's finance section."""
    return Assumed(value, "scenario", "", "scenario", f"finance.{path}")


def _rates(currency: str, rate: float | dict[int, float], first: int) -> tuple[Assumed, ...]:
    """Exchange rates by calendar year from the first; a year left out keeps the one before."""
    if not isinstance(rate, dict):
        return (own(f"fx.{currency}", rate),)
    found = []
    for year in range(first, max(*rate, first) + 1):
        held = max(known for known in rate if known <= year)
        found.append(own(f"fx.{currency}.{year}", rate[held]))
    return tuple(found)


def running(finance: Finance) -> Running:
    """Staff, software and sales tax; None where the scenario plans none."""
    given = {
        f"running.{name}": getattr(finance.running, name)
        for name in type(finance.running).model_fields
    }
    given["adders.sales_tax_frac"] = finance.adders.sales_tax_frac
    found = {path.split(".")[1]: own(path, value) for path, value in given.items() if value}
    if "staff_usd_per_year" in found:
        rise = finance.escalators.people_per_year
        found["people_per_year"] = own("escalators.people_per_year", rise)
    return Running(**found)


def _tax(tax: Tax) -> TaxTerms | None:
    if not tax.pays_tax:
        return None
    assert tax.rate is not None
    assert tax.depreciation is not None
    return TaxTerms(
        tax_rate=own("tax.rate", tax.rate),
        state_tax_rate=own("tax.state_rate", tax.state_rate),
        tax_method=_code(METHODS.index(tax.depreciation), tax.depreciation),
        tax_life_years=own("tax.life_years", tax.life_years),
        bonus_frac=own("tax.bonus_frac", tax.bonus_frac),
        state_bonus_conforms=_code(tax.state_conforms_to_bonus - 1, "scenario"),
        tax_convention=_code(CONVENTIONS.index(tax.convention), tax.convention),
        other_income_usd_per_year=_other_income(tax),
        losses_carried=None
        if tax.losses == "at_once"
        else Assumed(float(tax.losses == "carried_forward"), tax.losses, "", "scenario"),
    )


def _other_income(tax: Tax) -> Assumed | None:
    if tax.losses == "at_once" or tax.other_taxable_income_usd is None:
        return None
    return own("tax.other_taxable_income_usd", tax.other_taxable_income_usd)


def _code(position: int, source: str) -> Assumed:
    """A choice as the number that the ledger knows it by, 1 for the first."""
    return Assumed(position + 1, source, "", "scenario")


def _paths(name: str, rates: RateByGeneration) -> dict[str, Assumed]:
    if not isinstance(rates, dict):
        return {"all": Assumed(rates, "scenario", "", "scenario", f"finance.price_paths.{name}")}
    return {
        key: Assumed(
            rates.get(key, 0.0), "scenario", "", "scenario", f"finance.price_paths.{name}.{key}"
        )
        for key in {**rates, OTHER: 0.0}
    }


def treatment(option: Option, lease: Lease) -> Treatment:
    """How contracts of an option stand in the books."""
    found = read(
        standard=lease.standard,
        dedicated=option.value in lease.dedicated,
        term_months=TERM_MONTHS[option],
        short_term_elected=lease.short_term_elected,
        economic_life_months=lease.economic_life_months,
    )
    return found.treatment


def _leases(lease: Lease) -> bool:
    return any(on_balance_sheet(treatment(Option(name), lease)) for name in lease.dedicated)
