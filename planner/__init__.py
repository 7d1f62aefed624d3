"""Plans LLM-inference fleets: from traffic, models, sites and prices to the cheapest fleet.

>>> import planner
>>> planner.load("chat_8b").name
'chat_8b'

`planner.solve(planner.load("chat_8b"))` gives a `Plan`; `planner.report.write(plan, path)` writes
the workbook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.errors import (
    CatalogError,
    InfeasibleError,
    PlannerError,
    ScenarioError,
    StoppedError,
    VerificationError,
)

if TYPE_CHECKING:
    from planner import report
    from planner.pipeline import check, evaluate, solve
    from planner.repairs import repair
    from planner.result import Plan
    from planner.schema.catalog import Catalog
    from planner.schema.scenario import Scenario
    from planner.verification.verify import verify

__all__ = [
    "CatalogError",
    "InfeasibleError",
    "Plan",
    "PlannerError",
    "Scenario",
    "ScenarioError",
    "StoppedError",
    "VerificationError",
    "check",
    "evaluate",
    "load",
    "repair",
    "report",
    "solve",
    "verify",
]


def load(path_or_name: str, *, catalog: Catalog | None = None) -> Scenario:
    """A scenario from a YAML or Excel file, or a packaged one by name, checked with the catalog.

    Raises
    ------
    ScenarioError : everything that is wrong with it, each with path, value and what would do.
    """
    from planner.files.catalog import load_catalog
    from planner.files.scenario import load_scenario

    return load_scenario(path_or_name, catalog=catalog or load_catalog())


_LAZY = {
    "Plan": "planner.result",
    "Scenario": "planner.schema.scenario",
    "check": "planner.pipeline",
    "evaluate": "planner.pipeline",
    "repair": "planner.repairs",
    "solve": "planner.pipeline",
    "verify": "planner.verification.verify",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that the command line starts at once."""
    from importlib import import_module

    if name == "report":
        return import_module("planner.report")
    if name not in _LAZY:
        raise AttributeError(f"module 'planner' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
