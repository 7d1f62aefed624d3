"""Candidates whose rate was measured: rows of the serving table, beside those of the model.

A class that the table covers gets its candidates from the table alone. The rate is the table's,
nothing is lost in a pool (offset 0), and of latency, memory and batching nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from planner.candidates.enumerate import ANY, Configuration, recovery, wanted_accelerators
from planner.schema.catalog import Catalog
from planner.schema.demand import Batch, Online
from planner.schema.measured import MeasuredRate
from planner.schema.scenario import Scenario

MODE = "measured"
"""What a measured candidate has in place of a batching mode."""


def covered_classes(scenario: Scenario) -> set[int]:
    """Positions of the classes that the table covers.

    Parameters
    ----------
    scenario : its serving table and its classes.
    """
    return {
        d
        for d, demand in enumerate(scenario.demand)
        if any(row.covers(demand) for row in scenario.serving_table)
    }


def measured(scenario: Scenario, catalog: Catalog) -> list[Configuration]:
    """Configurations of the serving table, those that cannot be used with their reason."""
    return [
        _configuration(row, index, demand, scenario, catalog)
        for index, demand, row in _pairs(scenario)
    ]


def _pairs(scenario: Scenario) -> Iterator[tuple[int, Online | Batch, MeasuredRate]]:
    for index, demand in enumerate(scenario.demand):
        for row in scenario.serving_table:
            if isinstance(demand, Online | Batch) and row.covers(demand):
                yield index, demand, row


def _configuration(
    row: MeasuredRate, index: int, demand: Online | Batch, scenario: Scenario, catalog: Catalog
) -> Configuration:
    model = row.model_for(demand)
    assert model is not None, "the scenario refuses rows without one"
    tp = row.tp or row.gpus
    kept = math.nan
    if row.quantization is not None:
        kept = recovery(
            row.quantization, catalog.quantizations[row.quantization], catalog.models[model]
        )
    return Configuration(
        demand_class=index,
        model=model,
        accelerator=row.accelerator,
        quantization=row.quantization or ANY,
        engine=row.engine or ANY,
        tp=tp,
        dp=row.gpus // tp,
        mode=MODE,
        recovery_frac=kept,
        measured_rps=row.requests_per_s,
        source=row.source,
        reason=_refused(row, kept, demand.quality_floor, scenario, catalog),
    )


def _refused(
    row: MeasuredRate, kept: float, floor: float, scenario: Scenario, catalog: Catalog
) -> str:
    accelerator = catalog.accelerators[row.accelerator]
    if not accelerator.plannable:
        return f"excluded: {accelerator.excluded_because}"
    if row.accelerator not in wanted_accelerators(scenario, catalog):
        return "supply.accelerators leaves it out"
    if kept < floor:
        return f"keeps {kept:.3f} of the quality, floor {floor:g}"
    return ""
