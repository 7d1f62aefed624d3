"""A planning question that solves in a blink: Llama 3.1 8B in fp8 on L40S, one year.

`scenario` takes whole sections by name and merges mappings into the default's, so that a test
shows only what it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from planner.answer.decided import Decided
from planner.answer.plan import plan
from planner.candidates.assemble import build
from planner.candidates.case import Axes, Case
from planner.files.catalog import load_catalog
from planner.pipeline import case
from planner.result import Plan
from planner.schema.catalog import Catalog
from planner.schema.scenario import Scenario

CHAT: dict[str, Any] = {
    "kind": "online",
    "name": "chat",
    "models": ["llama-3.1-8b"],
    "requests_per_s": 20,
    "input_tokens": {"mean": 1000, "cv": 0.5},
    "output_tokens": {"mean": 200, "cv": 0.5},
    "slo": {"ttft_ms": 2000, "tpot_ms": 60},
}
NIGHT: dict[str, Any] = {
    "kind": "batch",
    "name": "night",
    "models": ["llama-3.1-8b"],
    "requests_per_day": 432_000,
    "input_tokens": {"mean": 1000, "cv": 0.5},
    "output_tokens": {"mean": 200, "cv": 0.5},
}
HQ: dict[str, Any] = {
    "name": "hq",
    "kind": "owned",
    "region": "us",
    "facility": "own-us",
    "it_power_kw": 200,
    "racks": 10,
    "rack_kw": 40,
}
CLOUD: dict[str, Any] = {"name": "cloud", "kind": "cloud", "region": "us"}
DEFAULT: dict[str, Any] = {
    "name": "small",
    "title": "A small world",
    "horizon": {"start": "2027-01", "months": 12},
    "demand": [CHAT],
    "sites": [HQ, CLOUD],
    "supply": {
        "options": ["owned", "on_demand", "reserved_1y"],
        "accelerators": ["l40s"],
        "engines": ["vllm"],
        "quantizations": ["fp8"],
        "kv_dtypes": ["bf16"],
        "tp_max": 1,
        "pp_max": 1,
        "lead_time_months": {"l40s": 3},
    },
    "planning": {"load_blocks": 2, "plan_at": "p50"},  # steps as predicted: figures by hand
}


def written(**sections: Any) -> dict[str, Any]:
    """The default with whole sections replaced; keys of a mapping join the default's."""
    changed = dict(DEFAULT)
    for name, section in sections.items():
        old = DEFAULT.get(name)
        joined = isinstance(section, Mapping) and isinstance(old, Mapping)
        changed[name] = {**old, **section} if joined else section  # type: ignore[dict-item]
    return changed


def scenario(**sections: Any) -> Scenario:
    """The same as a scenario."""
    return Scenario.model_validate(written(**sections))


@cache
def catalog() -> Catalog:
    """Packaged rows, read once."""
    return load_catalog()


def with_rows(table: str, **rows: Mapping[str, Any]) -> Catalog:
    """Packaged rows with fields of some changed; underscores in names stand for hyphens."""
    known = getattr(catalog(), table)
    changed = {}
    for name, fields in rows.items():
        key = name.replace("_", "-")
        changed[key] = known[key].model_copy(update=dict(fields))
    return catalog().model_copy(update={table: {**known, **changed}})


def known(question: Scenario, rows: Catalog | None = None) -> Case:
    """Everything known before the optimizer decides."""
    return case(question, rows or catalog())


def axes_of(question: Case) -> Axes:
    """Names behind the positions of a case's Problem."""
    return build(question)[1]


LETTER = {"source": "a seller's letter", "as_of": "2026-10-01"}
OWNED_CHEAP = {"accelerator": "l40s", "option": "owned", "usd": 5_000.0, **LETTER}


def mixed_scenario(**sections: Any) -> Scenario:
    """Everything at once: own and rented machines, batch work, and a class that only APIs serve."""
    large = {**CHAT, "name": "large", "models": ["llama-3.3-70b"], "requests_per_s": 2}
    return scenario(
        **{
            "horizon": {"start": "2027-01", "months": 24},
            "demand": [
                {**CHAT, "growth": {"rate_per_year": 0.5}, "profile": "office"},
                NIGHT,
                large,
            ],
            "supply": {
                "options": ["owned", "on_demand", "reserved_1y", "api"],
                "prices": [OWNED_CHEAP],
            },
            "planning": {"load_blocks": 3, "plan_at": "p50"},
            "sources": {"demand.chat.slo": "set here"},
            **sections,
        }
    )


@cache
def mixed() -> tuple[Decided, Plan]:
    """That question decided, and its plan."""
    return decide(mixed_scenario())


@cache
def mixed_at_p80() -> tuple[Decided, Plan]:
    """The same on the safe side of the error band."""
    return decide(mixed_scenario(planning={"load_blocks": 3, "plan_at": "p80"}))


def decide(question: Scenario, rows: Catalog | None = None) -> tuple[Decided, Plan]:
    """The pipeline with what lies between its ends."""
    from planner.optimize.audit import audit  # noqa: PLC0415
    from planner.optimize.solve import optimize  # noqa: PLC0415

    everything = known(question, rows)
    problem, axes = build(everything)
    solution = optimize(problem, gap=1e-6)
    decided = Decided(everything, problem, axes, solution)
    answer = plan(decided, gap_asked_frac=1e-6, audit=audit(problem, solution), binding=[],
                  seconds={})  # fmt: skip
    return decided, answer
