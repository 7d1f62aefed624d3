"""Columns of FOCUS 1.3: names, types, nullability, allowed values, and rules between columns.

Two datasets: Cost and Usage, Contract Commitment. Every row is checked against these models before
anything is written. Columns of our own begin with `x_`, as the specification asks.

References: FinOps Foundation, FinOps Open Cost and Usage Specification (FOCUS) 1.3: the
65 columns of Cost and Usage and 13 of Contract Commitment; requirements of the columns that 1.3
keeps from 1.2 as its tag v1.2 writes them; github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

PRICE_REL = 1e-9
"""Unit price x quantity against the cost: rounding of the division."""

Text = Annotated[str, StringConstraints(min_length=1)]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
"""UTC, ISO 8601."""
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


def _object(text: str) -> str:
    """JSON of an object."""
    if not isinstance(json.loads(text), dict):
        raise ValueError("expected a JSON object")
    return text


Json = Annotated[str, AfterValidator(_object)]

SERVICES = {
    "Compute": ("Virtual Machines",),
    "AI and Machine Learning": ("Generative AI",),
    "Networking": ("Other (Networking)",),
    "Other": ("Other (Other)",),
}
"""Service categories with their subcategories; of the allowed ones those that a fleet needs.

Virtual Machines is the specification's subcategory for hosts, bare metal included.
"""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class CostAndUsage(_Row):
    """One charge; null where the value is None."""

    AllocatedMethodDetails: Json | None = None
    AllocatedMethodId: Text | None = None
    AllocatedResourceId: Text | None = None
    AllocatedResourceName: Text | None = None
    AllocatedTags: Json | None = None
    AvailabilityZone: Text | None = None
    BilledCost: float
    BillingAccountId: Text
    BillingAccountName: Text | None
    BillingAccountType: Text
    BillingCurrency: Currency
    BillingPeriodEnd: Moment
    BillingPeriodStart: Moment
    CapacityReservationId: Text | None = None
    CapacityReservationStatus: Literal["Used", "Unused"] | None = None
    ChargeCategory: Literal["Usage", "Purchase", "Tax", "Credit", "Adjustment"]
    ChargeClass: Literal["Correction"] | None = None
    ChargeDescription: Text | None
    ChargeFrequency: Literal["One-Time", "Recurring", "Usage-Based"]
    ChargePeriodEnd: Moment
    ChargePeriodStart: Moment
    CommitmentDiscountCategory: Literal["Spend", "Usage"] | None = None
    CommitmentDiscountId: Text | None = None
    CommitmentDiscountName: Text | None = None
    CommitmentDiscountQuantity: float | None = None
    CommitmentDiscountStatus: Literal["Used", "Unused"] | None = None
    CommitmentDiscountType: Text | None = None
    CommitmentDiscountUnit: Text | None = None
    ConsumedQuantity: float | None = None
    ConsumedUnit: Text | None = None
    ContractApplied: Json | None = None
    ContractedCost: float
    ContractedUnitPrice: float | None = None
    EffectiveCost: float
    HostProviderName: Text
    InvoiceId: Text | None = None
    InvoiceIssuerName: Text
    ListCost: float
    ListUnitPrice: float | None = None
    PricingCategory: Literal["Standard", "Dynamic", "Committed", "Other"] | None = None
    PricingCurrency: Currency
    PricingCurrencyContractedUnitPrice: float | None = None
    PricingCurrencyEffectiveCost: float
    PricingCurrencyListUnitPrice: float | None = None
    PricingQuantity: float | None = None
    PricingUnit: Text | None = None
    ProviderName: Text
    """Deprecated in 1.3, still of the dataset."""
    PublisherName: Text
    """Deprecated in 1.3, still of the dataset."""
    RegionId: Text | None = None
    RegionName: Text | None = None
    ResourceId: Text | None = None
    ResourceName: Text | None = None
    ResourceType: Text | None = None
    ServiceCategory: Literal["Compute", "AI and Machine Learning", "Networking", "Other"]
    ServiceName: Text
    ServiceProviderName: Text
    ServiceSubcategory: Text
    SkuId: Text | None = None
    SkuMeter: Text | None = None
    SkuPriceDetails: Json | None = None
    SkuPriceId: Text | None = None
    SubAccountId: Text | None = None
    SubAccountName: Text | None = None
    SubAccountType: Text | None = None
    Tags: Json | None = None
    x_PlanId: Text
    x_Scenario: Text
    x_IsForecast: Literal[True]
    x_Category: Text
    """Category of the plan's cash or books."""
    x_LedgerLine: Text
    """Row of the plan's ledger."""
    x_IsCapitalExpenditure: bool
    """Machines bought, their use over their life, their end value: no bill of a provider."""
    x_Option: Text | None = None
    x_Accelerator: Text | None = None
    x_Site: Text | None = None
    x_DemandClass: Text | None = None
    x_Model: Text | None = None
    x_TokenType: Text | None = None

    @model_validator(mode="after")
    def _rules(self) -> Self:
        wrong = [text for broken, text in self._broken() if broken]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _broken(self) -> list[tuple[bool, str]]:
        """Rules of the specification between columns of one row."""
        usage, purchase = self.ChargeCategory == "Usage", self.ChargeCategory == "Purchase"
        priced, tax = usage or purchase, self.ChargeCategory == "Tax"
        unused = self.CommitmentDiscountStatus == "Unused"
        committed = self.CommitmentDiscountId is not None
        return [
            (purchase and self.ChargeFrequency == "Usage-Based", "a purchase is not usage-based"),
            (priced and self.PricingCategory is None, "usage and purchases have a price category"),
            (priced and self.PricingQuantity is None, "usage and purchases have a quantity"),
            (priced and (self.SkuId is None or self.SkuPriceId is None), "no SKU"),
            (tax and (self.PricingCategory or self.PricingQuantity or self.SkuId) is not None,
             "taxes have neither pricing category nor quantity nor SKU"),
            (not priced and self.EffectiveCost != self.BilledCost,
             "charges that are no usage or purchase cost what is billed"),
            ((self.PricingQuantity is None) != (self.PricingUnit is None), "quantity without unit"),
            (usage and not unused and self.ConsumedQuantity is None, "usage without quantity"),
            ((not usage or unused) and self.ConsumedQuantity is not None,
             "consumed quantity of what is not used"),
            ((self.ConsumedQuantity is None) != (self.ConsumedUnit is None),
             "consumed quantity without unit"),
            (committed != (self.CommitmentDiscountCategory is not None),
             "commitment without category, or category without commitment"),
            (committed and usage and self.CommitmentDiscountStatus is None,
             "used or unused must be said of a commitment's usage"),
            (not (committed and usage) and self.CommitmentDiscountStatus is not None,
             "only usage of a commitment is used or unused"),
            (committed and priced and self.CommitmentDiscountQuantity is None,
             "commitment without quantity"),
            ((self.CommitmentDiscountQuantity is None) != (self.CommitmentDiscountUnit is None),
             "commitment's quantity without unit"),
            (committed and purchase and self.EffectiveCost != 0,
             "the purchase of a commitment covers later charges: its effective cost is 0"),
            ((self.PricingCategory == "Committed") != (committed and usage),
             "committed is the price of a commitment's usage"),
            (self.ServiceSubcategory not in SERVICES[self.ServiceCategory],
             "subcategory of another service category"),
            (priced and None in self._unit_prices(), "usage and purchases have unit prices"),
            (tax and any(price is not None for price in self._unit_prices()),
             "taxes have no unit price"),
            (any(price is not None and price < 0 for price in self._unit_prices()),
             "a unit price below 0"),
            (not self._holds(self.ContractedUnitPrice, self.ContractedCost),
             "unit price x quantity is not the contracted cost"),
            (not self._holds(self.ListUnitPrice, self.ListCost),
             "list unit price x quantity is not the list cost"),
            (self.SkuId is None and (self.SkuMeter or self.SkuPriceDetails) is not None,
             "meter or details of no SKU"),
            ((self.SubAccountId is None) != (self.SubAccountType is None),
             "sub account without type"),
            ((self.ResourceId is None) != (self.ResourceType is None), "resource without type"),
            (self.ChargePeriodStart >= self.ChargePeriodEnd, "charge period ends before it starts"),
        ]  # fmt: skip

    def _unit_prices(self) -> tuple[float | None, ...]:
        return (
            self.ContractedUnitPrice, self.ListUnitPrice,
            self.PricingCurrencyContractedUnitPrice, self.PricingCurrencyListUnitPrice,
        )  # fmt: skip

    def _holds(self, price: float | None, cost: float) -> bool:
        """Whether a unit price times the quantity is the cost."""
        if price is None or self.PricingQuantity is None:
            return True
        off = abs(price * self.PricingQuantity - cost)
        return off <= PRICE_REL * max(abs(cost), 1.0)


class ContractCommitment(_Row):
    """Terms of one contract."""

    BillingCurrency: Currency
    ContractCommitmentCategory: Literal["Spend", "Usage"]
    ContractCommitmentCost: float | None
    ContractCommitmentDescription: Text | None
    ContractCommitmentId: Text
    ContractCommitmentPeriodEnd: Moment
    ContractCommitmentPeriodStart: Moment
    ContractCommitmentQuantity: float | None
    ContractCommitmentType: Text
    ContractCommitmentUnit: Text | None
    ContractId: Text
    ContractPeriodEnd: Moment
    ContractPeriodStart: Moment
    x_PlanId: Text
    x_Scenario: Text
    x_IsForecast: Literal[True]

    @model_validator(mode="after")
    def _rules(self) -> Self:
        start, end = self.ContractCommitmentPeriodStart, self.ContractCommitmentPeriodEnd
        if not self.ContractPeriodStart <= start < end <= self.ContractPeriodEnd:
            raise ValueError("the commitment's period lies within the contract's")
        if (self.ContractCommitmentQuantity is None) != (self.ContractCommitmentUnit is None):
            raise ValueError("quantity and unit go together")
        if self.ContractCommitmentQuantity is None and self.ContractCommitmentCost is None:
            raise ValueError("a commitment has a cost or a quantity")
        return self


def names(model: type[BaseModel]) -> tuple[str, ...]:
    """Columns in the order of the file.

    Examples
    --------
    >>> names(ContractCommitment)[:2]
    ('BillingCurrency', 'ContractCommitmentCategory')
    """
    return tuple(model.model_fields)


def kinds(model: type[BaseModel]) -> dict[str, type]:
    """Python type of every column: float, bool or str.

    Examples
    --------
    >>> kinds(ContractCommitment)["ContractCommitmentCost"]
    <class 'float'>
    """
    return {name: _kind(str(field.annotation)) for name, field in model.model_fields.items()}


def _kind(annotation: Any) -> type:
    if "float" in annotation:
        return float
    return bool if "bool" in annotation or "True" in annotation else str
