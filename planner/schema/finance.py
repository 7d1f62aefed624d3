"""Money assumptions: discounting, tax, payment, price paths, end values, running costs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.schema.base import Currency, Frac, Frozen, Month, NonNegative, Positive

Rate = Annotated[float, Field(gt=-0.9, le=2)]
RateByGeneration = Rate | dict[str, Rate]
"""One yearly rate, or one for each accelerator generation, with "other" for the rest."""


class Residual(Frozen):
    """What owned machines are worth at the end of the horizon."""

    decline_per_year: Frac = 0.30
    """Exponential decline of market value; 30 % a year, facts on A100 and H100 resale."""
    curve: Annotated[tuple[Frac, ...], Field(max_length=10)] = ()
    """Value kept after 1, 2, ... years in service, of the price paid, in place of the decline;
    straight between years, as the last one after them. H100 PCIe 0.78, 0.60, 0.46, 0.35
    (SpotWire v0.6, 2026-06-04)."""
    condition_frac: Frac = 0.72
    """Used-condition factor; SpotWire valuator v0.6, 2026-06-04."""
    selling_cost_frac: Frac = 0.10
    """Cost of selling, as a share of proceeds."""

    @model_validator(mode="after")
    def _one_path(self) -> Self:
        if self.curve and "decline_per_year" in self.model_fields_set:
            raise ValueError("give either decline_per_year or curve")
        return self


class PricePaths(Frozen):
    """Yearly change of prices from the scenario's first month; 0 is flat."""

    capex_per_year: RateByGeneration = 0.0
    """Purchase prices."""
    rental_per_year: RateByGeneration = 0.0
    """Rented accelerator-hours; a commitment keeps the price of its first month."""
    api_per_year: Rate = 0.0
    """Per-token prices."""


class Escalators(Frozen):
    """Yearly rise of running costs."""

    electricity_per_year: Rate = 0.0
    """Electricity."""
    rent_per_year: Rate = 0.0
    """Colocation rent."""
    people_per_year: Rate = 0.0
    """Cost of staff."""


class Adders(Frozen):
    """What comes on top of the price of a machine."""

    network_frac: Frac = 0.25
    """Network, of the server price, where the row does not already include it; price notes 2026."""
    storage_frac: Frac = 0.03
    """Storage, of the server price; Bernstein, price notes 2026."""
    installation_frac: Frac = 0.03
    """Installation and initial spares, of the server price; judgement, price notes 2026."""
    maintenance_frac_per_year: Frac = 0.04
    """Hardware maintenance, of the server price a year; price notes 2026."""
    insurance_frac_per_year: Frac = 0.01
    """Insurance, of the server price a year; price notes 2026."""
    cloud_support_frac: Frac = 0.05
    """Support uplift on rented machines; SemiAnalysis ClusterMAX, price notes 2026."""
    sales_tax_frac: Frac = 0.0
    """Sales tax on servers, network and storage; 0.05 to 0.07 in US states unless a data-centre
    exemption holds (taxstation, moneyracket, 2025)."""


class Tax(Frozen):
    """Income tax: plans are after tax where it is paid, and need a discount rate after tax.

    Costs are deducted when paid, prepayments over their term, purchases by the method below; tax
    is settled in the last month of each fiscal year.
    """

    pays_tax: bool = False
    """Does the company pay income tax?"""
    rate: Annotated[float | None, Field(ge=0, lt=1)] = None
    """Federal (or only) tax rate; 0.21 in the US."""
    state_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """State tax rate; state tax is deducted from federal income."""
    depreciation: Literal["none", "straight_line", "macrs_3", "macrs_5", "macrs_7"] | None = None
    """How purchases are deducted. US servers are 5-year property, macrs_5 (IRS Publication 946,
    table A-1: 20.00, 32.00, 19.20, 11.52, 11.52, 5.76 %); elsewhere straight_line over life_years;
    none deducts a purchase when it is sold."""
    life_years: Annotated[float, Field(ge=1, le=10)] = 5.0
    """Of straight_line only."""
    bonus_frac: Frac = 0.0
    """Deducted at once in the year placed in service, the method takes the rest. US law has 1.0 for
    property acquired and placed in service after 2025-01-19 (P.L. 119-21)."""
    bonus_acquired_from: Month | None = None
    """First month whose orders get the bonus: an order is the acquisition (binding contract).
    Blank: every order."""
    state_conforms_to_bonus: bool = False
    """Does the state allow the bonus too? Many do not."""
    convention: Literal["auto", "half_year", "mid_quarter"] = "auto"
    """First-year convention. auto: mid-quarter in fiscal years that place more than 40 % of their
    purchases in service in the last quarter (26 U.S.C. 168(d)(3)), else half-year."""
    losses: Literal["at_once", "carried_forward", "never"] = "at_once"
    """Deductions: all find income of the company in their fiscal year (at_once); or those beyond
    other_taxable_income_usd are carried forward to later years of the horizon, or never used."""
    other_taxable_income_usd: NonNegative | None = None
    """Taxable income of the company a year from everything else, before state tax; needed where
    losses are carried forward or never used."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.losses != "at_once" and self.other_taxable_income_usd is None:
            raise ValueError(
                f"losses {self.losses} needs other_taxable_income_usd, against which they are used"
            )
        if not self.pays_tax:
            idle = [name for name in ("rate", "depreciation") if getattr(self, name) is not None]
            if idle:
                raise ValueError(f"{' and '.join(idle)} given, but pays_tax is false; set it true")
            return self
        missing = [name for name in ("rate", "depreciation") if getattr(self, name) is None]
        if missing:
            raise ValueError(
                f"pays_tax needs {' and '.join(missing)}; a US company has rate 0.21 and "
                "depreciation macrs_5"
            )
        return self


class Payment(Frozen):
    """When purchases and contracts are paid."""

    order_frac: Frac = 1.0
    """Share of a purchase paid with the order; 0.3 of 30/60/10."""
    delivery_frac: Frac = 0.0
    """Share paid when the machines enter service; 0.6 of 30/60/10. The rest is paid on
    acceptance."""
    acceptance_months: Annotated[int, Field(ge=0, le=12)] = 1
    """Entry into service to acceptance."""
    upfront_frac: dict[Literal["reserved_1y", "reserved_3y"], Frac] = Field(default_factory=dict)
    """Share of a reservation's price paid when it is signed, the rest by the hour: 0 no upfront,
    1 all upfront (AWS payment options no, partial, all)."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.order_frac + self.delivery_frac > 1 + 1e-9:
            raise ValueError(
                f"order_frac {self.order_frac:g} and delivery_frac {self.delivery_frac:g} are "
                "more than the whole price"
            )
        return self


class Egress(Frozen):
    """Traffic out of clouds that the provider charges by volume; own sites pay none."""

    usd_per_gb: NonNegative = 0.0
    """Price of 10^9 bytes. List prices of the first terabytes: AWS 0.09, Azure 0.087, Google 0.12
    (cloudtoolstack, 2026); many GPU clouds charge nothing."""
    bytes_per_output_token: Positive = 300.0
    """Of a token sent out: about 300 where each is streamed as an event with its JSON, about 4 of
    bare text; judgement, measure your own."""
    gb_per_month: NonNegative | None = None
    """Volume of the whole traffic a month, in place of tokens x bytes; each class has its share of
    output tokens, and what own sites or APIs serve is not paid."""


class Lease(Frozen):
    """Facts from which commitments are read as services or leases (IFRS 16, ASC 842).

    Moves profit and loss and the balances of leases; cash, tax (leases are rent) and what is
    planned never move. Not accounting advice.
    """

    standard: Literal["asc_842", "ifrs_16"] = "asc_842"
    """Accounting standard."""
    dedicated: tuple[Literal["reserved_1y", "reserved_3y"], ...] = ()
    """Commitments to machines that the contract names, whose whole use the customer gets and
    directs and that the supplier may not swap. Others are capacity from a pool: a service."""
    borrowing_rate: Annotated[float | None, Field(ge=0, le=1)] = None
    """Incremental borrowing rate a year; blank: the discount rate."""
    short_term_elected: bool = True
    """Leases of 12 months or less stay off the balance sheet."""
    economic_life_months: Positive | None = None
    """Of the machines; ASC 842 compares the term with it."""


class Running(Frozen):
    """Running costs beside energy, rent, maintenance and insurance."""

    staff_per_accelerator: NonNegative = 0.0
    """Full-time staff for each own accelerator in service; no figure is published, 1 for 500
    (0.002) is a proposal to replace by your own."""
    staff_usd_per_year: NonNegative = 0.0
    """Cost of one of them."""
    licence_usd_per_gpu_year: NonNegative = 0.0
    """Software for own and reserved accelerators; NVIDIA AI Enterprise 4,500 (licensing guide,
    2026)."""
    licence_usd_per_gpu_hour: NonNegative = 0.0
    """Software for accelerators rented by the hour; NVIDIA AI Enterprise 1 (licensing guide,
    2026)."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.staff_per_accelerator > 0) != (self.staff_usd_per_year > 0):
            raise ValueError("give both staff_per_accelerator and staff_usd_per_year")
        return self


class Finance(Frozen):
    """Money assumptions."""

    discount_rate: Annotated[float, Field(ge=0, le=1)] = 0.08
    """Nominal yearly rate; after tax where tax is paid."""
    discounting: Literal["start", "mid", "end"] = "mid"
    """When in its month cash is taken to fall."""
    currency: Literal["USD"] = "USD"
    """Reporting currency (others: not supported yet)."""
    fx: dict[Currency, Positive | dict[int, Positive]] = Field(default_factory=dict)
    """USD for one unit of each currency in which prices are written, one rate or by calendar year
    from that of the first month; a year left out keeps the rate before it. Orders and contracts
    are translated at the rate of the month in which they are signed, use at the rate of its own."""
    residual: Residual = Residual()
    """End value of owned machines."""
    price_paths: PricePaths = PricePaths()
    """Falling, flat or rising prices."""
    escalators: Escalators = Escalators()
    """Rise of running costs."""
    adders: Adders = Adders()
    """Network, storage, installation, maintenance, insurance, support, sales tax."""
    payment: Payment = Payment()
    """When purchases and contracts are paid."""
    running: Running = Running()
    """Staff and software."""
    egress: Egress = Egress()
    """Traffic out of clouds."""
    book_life_years: Annotated[int, Field(ge=3, le=6)] = 5
    """Straight-line life in the books, from the month of entry into service to zero; moves profit
    and loss and the asset register, never cash. CoreWeave 6, Amazon 5, Nebius 4 years (2025)."""
    tax: Tax = Tax()
    """Income tax."""
    lease: Lease = Lease()
    """How commitments stand in the books."""
