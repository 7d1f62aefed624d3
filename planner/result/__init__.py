"""The plan, a plain value: what was decided, at what price, from which figures."""

from planner.result.bands import BandCost, BandCosts
from planner.result.decoding import DecodeSide
from planner.result.fleet import ApiRow, FleetRow
from planner.result.options import OptionRow, OptionStatus
from planner.result.plan import (
    PLAN_VERSION,
    AuditLine,
    BindingLimit,
    Block,
    CandidateRow,
    ClassCost,
    ClassTraffic,
    LatencyCurve,
    LatencyPoint,
    LedgerInput,
    Period,
    Plan,
    PoolRow,
    SizingTrail,
    SourceRow,
    TrailItem,
    TrailStep,
)
from planner.result.pools import WholePool, whole_pools
from planner.result.record import Record
from planner.result.reuse import ReuseValue
from planner.result.verification import (
    Attained,
    Incident,
    RentedAhead,
    Repair,
    RepairRound,
    ReplayedTrace,
    TestedPool,
    Verification,
)

__all__ = [
    "PLAN_VERSION",
    "ApiRow",
    "Attained",
    "AuditLine",
    "BandCost",
    "BandCosts",
    "BindingLimit",
    "Block",
    "CandidateRow",
    "ClassCost",
    "ClassTraffic",
    "DecodeSide",
    "FleetRow",
    "Incident",
    "LatencyCurve",
    "LatencyPoint",
    "LedgerInput",
    "OptionRow",
    "OptionStatus",
    "Period",
    "Plan",
    "PoolRow",
    "Record",
    "RentedAhead",
    "Repair",
    "RepairRound",
    "ReplayedTrace",
    "ReuseValue",
    "SizingTrail",
    "SourceRow",
    "TestedPool",
    "TrailItem",
    "TrailStep",
    "Verification",
    "WholePool",
    "whole_pools",
]
