"""Who and what the charges of a ledger group belong to: machines, a model's API, a site's power."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planner.finance.ledger import Line
from planner.finance.offers import api_key, egress_key, owned_key, rented_key, slug
from planner.report.words import OPTIONS, machine
from planner.result import ApiRow, FleetRow, Plan

OWN_OPERATIONS = "Own operations"
"""Provider of what the company runs itself: a plan does not know whom it buys from."""


@dataclass(frozen=True)
class Resource:
    """One group of the ledger."""

    identity: str
    name: str
    region: str | None
    fleet: FleetRow | None = None
    api: ApiRow | None = None
    cloud: str = ""
    """Cloud out of which traffic is paid for; blank for others."""

    @property
    def lot_name(self) -> str:
        """How machines are counted; blank for others."""
        return self.fleet.lot_name if self.fleet else ""

    @property
    def lot_gpus(self) -> int:
        """Accelerators of a lot; 1 for what has no lots."""
        return self.fleet.lot_gpus if self.fleet else 1

    @property
    def option_name(self) -> str:
        """Way of getting it, as in reserved 1 year; blank for what is no machine."""
        return OPTIONS[self.fleet.option] if self.fleet else ""

    @property
    def provider(self) -> str:
        """Seller of tokens, the cloud's name in the scenario, or the company itself."""
        if self.api is not None:
            return self.api.provider
        if self.cloud:
            return self.cloud
        rented = self.fleet is not None and self.fleet.option not in ("owned", "colo")
        return self.fleet.site if self.fleet is not None and rented else OWN_OPERATIONS

    def columns(self) -> dict[str, Any]:
        """Columns of every row of this resource."""
        found = {
            "HostProviderName": self.provider, "ServiceProviderName": self.provider,
            "InvoiceIssuerName": self.provider, "ProviderName": self.provider,
            "PublisherName": self.provider, "RegionId": self.region, "RegionName": self.region,
            "ResourceId": self.identity, "ResourceName": self.name, "ServiceName": self.name,
        }  # fmt: skip
        return {**found, **self._kind()}

    @property
    def details(self) -> str | None:
        """Properties of the machines' price, by the specification's keys."""
        if self.fleet is None:
            return None
        return json.dumps({"InstanceType": self.fleet.accelerator, "GpuCount": self.fleet.lot_gpus})

    def _kind(self) -> dict[str, Any]:
        if self.api is not None:
            return {
                "ResourceType": "Model API", "ServiceCategory": "AI and Machine Learning",
                "ServiceSubcategory": "Generative AI", "x_DemandClass": self.api.demand_class,
                "x_Model": self.api.model,
            }  # fmt: skip
        if self.fleet is not None:
            return {
                "ResourceType": f"GPU {self.fleet.lot_name}", "ServiceCategory": "Compute",
                "ServiceSubcategory": "Virtual Machines", "x_Option": self.fleet.option,
                "x_Accelerator": self.fleet.accelerator, "x_Site": self.fleet.site,
            }  # fmt: skip
        if self.cloud:
            return {
                "ResourceType": "Data transfer", "ServiceCategory": "Networking",
                "ServiceSubcategory": "Other (Networking)", "x_Site": self.cloud,
            }  # fmt: skip
        return {
            "ResourceType": "Operations", "ServiceCategory": "Other",
            "ServiceSubcategory": "Other (Other)",
        }  # fmt: skip


def resource_of(plan: Plan, group: str, lines: Sequence[Line]) -> Resource:
    """Resource of a group: by the names of its rows, else by its label."""
    identity, keys = slug(group).replace("_", "-") or "other", {line.key for line in lines}
    for row in plan.fleet:
        words = f"{row.accelerator_title} at {row.site}, {OPTIONS[row.option]}"
        if _key(row) in keys or group in (words, machine(row)):
            return Resource(identity, group, _region(plan, row.site), fleet=row)
    for api in plan.apis:
        key = api_key(f"{api.demand_class}-{api.provider}-{api.product}")
        if f"{key}_input_mtokens" in keys:
            return Resource(identity, group, None, api=api)
    for entry in plan.scenario.get("sites") or []:
        site = str(entry.get("name"))
        if f"{egress_key(site)}_gb" in keys:
            return Resource(identity, group, _region(plan, site), cloud=site)
    return Resource(identity, group or "Other", None)


def _key(row: FleetRow) -> str:
    """Row of the ledger that counts these machines."""
    if row.option in ("owned", "colo"):
        return f"{owned_key(row.accelerator, row.site)}_bought"
    counted = "lot_hours" if row.option == "on_demand" else "signed"
    return f"{rented_key(row.option, row.accelerator, row.site)}_{counted}"


def _region(plan: Plan, site: str) -> str | None:
    """Region of a site in the scenario; the site itself where none is written."""
    for entry in plan.scenario.get("sites") or []:
        if entry.get("name") == site:
            return str(entry.get("region") or site)
    return site
