"""Machines and APIs of a fleet, by planning period."""

from __future__ import annotations

from typing import Literal

from planner.result.record import Record


class FleetRow(Record):
    """Machines of one SKU at one site by one option."""

    option: Literal["owned", "colo", "reserved_1y", "reserved_3y", "on_demand"]
    accelerator: str
    accelerator_title: str
    site: str
    lot_name: str
    """node or rack"""
    lot_gpus: int
    lot_kw: float
    lots_ordered: list[float]
    """[period] bought or signed; on demand: peak lots over the blocks"""
    lots_in_service: list[float]
    """[period] for use; on demand: mean over the period's hours"""
    lots_by_block: list[list[float]]
    """[period][block] in use on demand; else in service in every block"""


class ApiRow(Record):
    """Traffic sent to an API."""

    demand_class: str
    provider: str
    product: str
    model: str
    served_frac: list[list[float]]
    """[period][block]"""
