"""The small plan with its rented pool shared by two classes, in parts of two and one thirds."""

from __future__ import annotations

from typing import Any

from planner.result import Plan, PoolRow
from tests.plan_fixture import RENTED_CANDIDATE, small_plan

REST = RENTED_CANDIDATE.partition("/")[2]
OWN, OTHER = f"assistant~search/{REST}", f"search~assistant/{REST}"


def shared_plan(**changes: Any) -> Plan:
    """The plan: 16 replicas in the first quarter, 10 2/3 of them the assistant's."""
    plan = small_plan()
    search = plan.demand[0].model_copy(
        update={
            "name": "search",
            "peak_rps": [[0.5 * x for x in row] for row in plan.demand[0].peak_rps],
            "mean_rps": [[0.5 * x for x in row] for row in plan.demand[0].mean_rps],
        }
    )
    pools = [
        plan.pools[0],
        _part(plan.pools[1], OWN, OTHER, 2 / 3),
        plan.pools[2],
        _part(plan.pools[1], OTHER, OWN, 1 / 3),
    ]
    alone = next(row for row in plan.candidates if row.id == RENTED_CANDIDATE)
    rows = [
        alone.model_copy(update={"id": OWN, "shares_with": ["search"]}),
        alone.model_copy(
            update={"id": OTHER, "demand_class": "search", "shares_with": ["assistant"]}
        ),
    ]
    found = plan.model_copy(
        update={
            "demand": [*plan.demand, search],
            "pools": pools,
            "candidates": [*(row for row in plan.candidates if row is not alone), *rows],
            "class_costs": [
                *plan.class_costs[1:],
                *(
                    plan.class_costs[0].model_copy(
                        update={
                            "demand_class": name,
                            "npv_usd": plan.class_costs[0].npv_usd * share,
                            "input_mtokens": plan.class_costs[0].input_mtokens * share,
                            "output_mtokens": plan.class_costs[0].output_mtokens * share,
                        }
                    )
                    for name, share in (("assistant", 0.8), ("search", 0.2))
                ),
            ],
            "curves": [
                plan.curves[0],
                plan.curves[1].model_copy(update={"candidate": OWN, "shared_with": ["search"]}),
            ],
        }
    )
    return found.model_copy(update=changes)


def _part(pool: PoolRow, candidate: str, other: str, share: float) -> PoolRow:
    return pool.model_copy(
        update={
            "candidate": candidate,
            "shared_with": [other],
            "replicas_peak": [share * x for x in pool.replicas_peak],
            "replicas": [[share * x for x in row] for row in pool.replicas],
        }
    )
