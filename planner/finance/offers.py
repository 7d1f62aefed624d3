"""What can be had, in numbers with their provenance: the arguments of `finance.lines`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from planner.finance.leases import Treatment
from planner.finance.ledger import Input

USD = "USD"


def fx_key(currency: str) -> str:
    """Line of an exchange rate.

    Examples
    --------
    >>> fx_key("EUR")
    'fx_eur'
    """
    return f"fx_{currency.lower()}"


@dataclass(frozen=True)
class Assumed:
    """A number and where it comes from."""

    value: float
    source: str
    as_of: str
    basis: str
    """measured, quoted, derived, estimated or scenario."""
    scenario_path: str = ""
    """finance.discount_rate, where the number is the scenario's own."""
    currency: str = USD
    """Of a price; the ledger translates others."""

    def as_input(self, name: str, label: str, unit: str) -> Input:
        """The same as an input of the ledger; `unit` names USD where the price is in it."""
        return Input(
            name, label, unit.replace(USD, self.currency), self.value, self.source, self.as_of,
            self.basis, self.scenario_path,
        )  # fmt: skip

    @property
    def in_usd(self) -> str:
        """Factor that a formula takes to USD: blank, or the row of the month's exchange rate."""
        return "" if self.currency == USD else f" * {fx_key(self.currency)}"


def _unless_stated(value: float) -> Assumed:
    return Assumed(value, "planned so unless the scenario says otherwise", "2026-11", "scenario")


NOTHING, ALL, ONE_MONTH, FIVE_YEARS = map(_unless_stated, (0.0, 1.0, 1.0, 5.0))
"""Terms of payment and book life that hold unless the scenario states others."""


@dataclass(frozen=True)
class TaxTerms:
    """Income tax; field names are the ledger's input names."""

    tax_rate: Assumed
    state_tax_rate: Assumed
    tax_method: Assumed
    """Position in `tax.METHODS`, 1 for the first."""
    tax_life_years: Assumed
    bonus_frac: Assumed
    state_bonus_conforms: Assumed
    """1 where the state allows the bonus, else 0."""
    tax_convention: Assumed
    """Position in `tax.CONVENTIONS`, 1 for the first."""
    other_income_usd_per_year: Assumed | None = None
    """Of the company; None: every deduction finds income in its year."""
    losses_carried: Assumed | None = None
    """1 carried forward, 0 lost; where other income is given."""


@dataclass(frozen=True)
class Running:
    """Staff and software; field names are the ledger's input names."""

    staff_per_accelerator: Assumed | None = None
    staff_usd_per_year: Assumed | None = None
    people_per_year: Assumed | None = None
    licence_usd_per_gpu_year: Assumed | None = None
    licence_usd_per_gpu_hour: Assumed | None = None
    sales_tax_frac: Assumed | None = None


@dataclass(frozen=True)
class Common:
    """Money assumptions that every line shares; field names are the ledger's input names."""

    discount_rate: Assumed
    discount_timing: Assumed
    """Months before the end of a month at which its cash falls: `calendar.TIMING_MONTHS`."""
    tail_value_frac: Assumed
    electricity_per_year: Assumed
    rent_per_year: Assumed
    network_frac: Assumed
    storage_frac: Assumed
    installation_frac: Assumed
    maintenance_frac_per_year: Assumed
    insurance_frac_per_year: Assumed
    cloud_support_frac: Assumed
    decline_per_year: Assumed
    condition_frac: Assumed
    selling_cost_frac: Assumed
    api_per_year: Assumed
    capex_per_year: Mapping[str, Assumed]
    """Yearly change of purchase prices by price path (an accelerator generation, or all)."""
    rental_per_year: Mapping[str, Assumed]
    """The same of rented accelerator-hours."""
    payment_order_frac: Assumed = ALL
    payment_delivery_frac: Assumed = NOTHING
    """Paid at entry into service; what order and delivery leave is paid on acceptance."""
    payment_acceptance_months: Assumed = ONE_MONTH
    """Entry into service to acceptance; whole."""
    book_life_years: Assumed = FIVE_YEARS
    """Straight-line life in the books; whole."""
    running: Running = Running()
    fx: Mapping[str, tuple[Assumed, ...]] = field(default_factory=dict)
    """USD for one unit of a currency, by calendar year from that of the first month; the last
    holds on."""
    tax: TaxTerms | None = None
    """None: planned before tax."""
    residual_curve: tuple[Assumed, ...] = ()
    """Value kept after 1, 2, ... years, of the price paid; blank: `decline_per_year`."""
    leases: bool = False
    """Whether any commitment offered is a lease on the balance sheet."""
    egress_usd_per_gb: Assumed | None = None
    """None: traffic out of clouds is free."""
    borrowing_rate: Assumed | None = None
    """Of leases, a year; None: the discount rate."""


@dataclass(frozen=True)
class SiteCosts:
    """Running costs of a place that houses own machines."""

    site: str
    pue: Assumed
    electricity_usd_per_kwh: Assumed
    rent_usd_per_kw_month: Assumed


@dataclass(frozen=True)
class OwnedOffer:
    """One accelerator to buy for one site. Its figures are the same at every site."""

    accelerator: str
    site: str
    label: str
    """Group in reports: GB200 NVL72 at hq, owned."""
    lot_name: str
    """node or rack."""
    path: str
    """Key in `Common.capex_per_year`."""
    lot_usd: Assumed
    """Price of a lot in the scenario's first month."""
    price_includes_network: bool
    lead_months: Assumed
    """Order to in service; whole."""
    lot_kw: Assumed
    """Contracted IT power."""
    idle_frac: Assumed
    """Power without work / contracted power."""
    curve_years: int = 0
    """Length of `Common.residual_curve`."""
    lot_gpus: Assumed | None = None
    """Needed where staff or licences are planned."""
    running: Running = Running()


@dataclass(frozen=True)
class CommitmentOffer:
    """One accelerator reserved in one region: paid by the hour for the whole term."""

    option: str
    """reserved_1y"""
    accelerator: str
    site: str
    label: str
    lot_name: str
    path: str
    """Key in `Common.rental_per_year`."""
    usd_per_gpu_h: Assumed
    """Price of a contract that starts in the scenario's first month."""
    lot_gpus: Assumed
    term_months: Assumed
    upfront_frac: Assumed = NOTHING
    """Share of the contract's price paid when it is signed."""
    running: Running = Running()
    treatment: Treatment = "service"
    """How the contract stands in the books."""


@dataclass(frozen=True)
class OnDemandOffer:
    """One accelerator rented by the hour in one region."""

    accelerator: str
    site: str
    label: str
    lot_name: str
    path: str
    usd_per_gpu_h: Assumed
    lot_gpus: Assumed
    running: Running = Running()


@dataclass(frozen=True)
class ApiOffer:
    """One hosted model paid by the token."""

    name: str
    label: str
    input_usd_per_mtoken: Assumed
    output_usd_per_mtoken: Assumed
    cached_input_usd_per_mtoken: Assumed | None
    """None: the seller has no cache price, cached tokens cost as much as others."""


def slug(name: str) -> str:
    """Name as part of an identifier.

    Examples
    --------
    >>> slug("GB200-NVL72 (rack)")
    'gb200_nvl72_rack'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def owned_key(accelerator: str, site: str) -> str:
    """Prefix of the lines of machines bought.

    Examples
    --------
    >>> owned_key("h100-sxm", "hq")
    'own_h100_sxm_hq'
    """
    return f"own_{slug(accelerator)}_{slug(site)}"


def rented_key(option: str, accelerator: str, site: str) -> str:
    """Prefix of the lines of machines rented.

    Examples
    --------
    >>> rented_key("reserved_1y", "h100-sxm", "us-east")
    'reserved_1y_h100_sxm_us_east'
    """
    return f"{slug(option)}_{slug(accelerator)}_{slug(site)}"


def api_key(name: str) -> str:
    """Prefix of the lines of an API.

    Examples
    --------
    >>> api_key("nebius/llama-3.1-405b")
    'api_nebius_llama_3_1_405b'
    """
    return f"api_{slug(name)}"


def egress_key(site: str) -> str:
    """Prefix of the line of traffic out of a cloud.

    Examples
    --------
    >>> egress_key("us-east")
    'egress_us_east'
    """
    return f"egress_{slug(site)}"


def egress_group(site: str) -> str:
    """Group of those lines in reports.

    Examples
    --------
    >>> egress_group("us-east")
    'Egress from us-east'
    """
    return f"Egress from {site}"


def energy_key(site: str) -> str:
    """Prefix of the line of energy above idle at a site.

    Examples
    --------
    >>> energy_key("hq")
    'energy_hq'
    """
    return f"energy_{slug(site)}"
