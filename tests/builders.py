"""Small problems, built from the pieces a test cares about; all else is the plainest default.

`make_problem` takes the sizes of the axes (c, d, g, o, s, t, b, a, y; k counts 3
small pools) and any field of the problem by its name, as a scalar or as an array that broadcasts
to the field's shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from planner import problem as shape
from planner.problem import Problem

INF = np.inf
# field: (axes, type, default); the axes are those that planner.problem documents
FIELDS: dict[str, dict[str, tuple[str, type, Any]]] = {
    "Demand": {
        "peak_rps": ("dtb", float, 10.0),
        "mean_rps": ("dtb", float, 5.0),
        "hours": ("tb", float, 1000.0),
        "day_of_block": ("b", int, 0),
        "batch": ("d", bool, False),
        "on_premises_min_frac": ("d", float, 0.0),
    },
    "Pools": {
        "class_of": ("c", int, 0),
        "pool_of": ("c", int, None),
        "replica_gpus": ("cg", float, 8.0),
        "rate_rps": ("c", float, 2.5),
        "offset_rps": ("c", float, 0.0),
        "small_rps": ("ck", float, None),
        "allowed": ("cs", bool, True),
        "replicas_max": ("ct", float, None),
        "energy_usd": ("cstb", float, 0.0),
    },
    "Machines": {
        "lot_gpus": ("g", float, 8.0),
        "node_gpus": ("g", float, 8.0),
        "lot_kw": ("g", float, 10.0),
        "lots_per_rack": ("gs", float, 4.0),
        "purchasable": ("gs", bool, True),
        "on_demand": ("gs", bool, False),
        "committable": ("ogs", bool, False),
        "lead_periods": ("gs", int, 0),
        "term_periods": ("o", int, 2),
        "lots_max": ("gst", float, INF),
        "on_demand_max": ("gst", float, INF),
        "spare_slope": ("gs", float, 0.0),
        "spare_offset": ("gs", float, 0.0),
        "node_unavailability": ("gs", float, 0.0),
    },
    "Sites": {
        "on_premises": ("s", bool, True),
        "it_kw": ("st", float, INF),
        "racks": ("st", float, INF),
    },
    "Costs": {
        "buy_usd": ("gst", float, 300_000.0),
        "commit_usd": ("ogst", float, 120_000.0),
        "on_demand_usd": ("gstb", float, 40_000.0),
        "api_usd": ("atb", float, 1e6),
        "capex_usd": ("gst", float, 250_000.0),
    },
}


def make_problem(
    *,
    c: int = 1,
    d: int = 1,
    g: int = 1,
    o: int = 0,
    s: int = 1,
    t: int = 1,
    b: int = 1,
    a: int = 0,
    y: int = 1,
    **fields: Any,
) -> Problem:
    """A problem of the given sizes; a field not named keeps the default above.

    `accelerator_of` (candidates,) puts `replica_gpus` (candidates,) on one accelerator each, the
    first if not given; `replica_gpus` (candidates, accelerators) stands as it is.
    """
    fields = _on_accelerators(fields, c, g)
    sizes = {"c": c, "d": d, "g": g, "o": o, "s": s, "t": t, "b": b, "a": a, "y": y, "k": 3}
    made = {
        section: getattr(shape, section)(**_section(rows, sizes, fields))
        for section, rows in FIELDS.items()
        if section != "Pools"
    }
    pools = _section(FIELDS["Pools"], sizes, fields)
    if "replicas_max" not in fields:
        pools["replicas_max"] = _replicas_max(pools, made["Demand"])
    if "pool_of" not in fields:
        pools["pool_of"] = np.arange(c)
    if "small_rps" not in fields:
        pools["small_rps"] = _on_the_line(pools)
    limits = shape.Limits(
        capex_max_usd=_array(fields.pop("capex_max_usd", INF), (y,), float),
        fiscal_year_of=_array(fields.pop("fiscal_year_of", 0), (t,), int),
        accelerator_types_max=fields.pop("accelerator_types_max", g),
        availability_target=fields.pop("availability_target", 0.99),
    )
    api_class = _array(fields.pop("api_class", 0), (a,), int)
    known = {name for rows in FIELDS.values() for name in rows}
    assert set(fields) <= known, f"unknown fields {set(fields) - known}"
    return Problem(
        labels=_labels(sizes),
        demand=made["Demand"],
        pools=shape.Pools(**pools),
        machines=made["Machines"],
        sites=made["Sites"],
        costs=made["Costs"],
        limits=limits,
        api_class=api_class,
    )


def _on_accelerators(fields: dict[str, Any], c: int, g: int) -> dict[str, Any]:
    gpus = np.asarray(fields.get("replica_gpus", 8.0), float)
    if gpus.ndim == 2:
        return fields
    rest = {name: value for name, value in fields.items() if name != "accelerator_of"}
    on = np.broadcast_to(fields.get("accelerator_of", 0), c)
    return {**rest, "replica_gpus": np.eye(g)[on] * np.broadcast_to(gpus, c)[:, None]}


def _section(
    rows: dict[str, tuple[str, type, Any]], sizes: dict[str, int], fields: dict[str, Any]
) -> dict[str, np.ndarray]:
    return {
        name: _array(fields.get(name, default), tuple(sizes[i] for i in axes), kind)
        for name, (axes, kind, default) in rows.items()
        if default is not None or name in fields
    }


def _array(value: Any, shape_: tuple[int, ...], kind: type) -> np.ndarray:
    dtype = np.int64 if kind is int else kind
    return np.broadcast_to(np.asarray(value, dtype=dtype), shape_).copy()


def _replicas_max(pools: dict[str, np.ndarray], demand: shape.Demand) -> np.ndarray:
    rps = np.where(demand.batch[:, None, None], demand.mean_rps, demand.peak_rps).max(axis=2)
    need = (rps[pools["class_of"]] + pools["offset_rps"][:, None]) / pools["rate_rps"][:, None]
    return np.ceil(need)


def _on_the_line(pools: dict[str, np.ndarray]) -> np.ndarray:
    """Small pools that carry no more than the line says."""
    sizes = np.array([1.0, 2.0, 3.0])
    line = pools["rate_rps"][:, None] * sizes - pools["offset_rps"][:, None]
    return np.maximum(line, 0.0)


def _labels(sizes: dict[str, int]) -> shape.Labels:
    def names(word: str, axis: str) -> tuple[str, ...]:
        return tuple(f"{word}{i}" for i in range(sizes[axis]))

    return shape.Labels(
        candidates=names("candidate", "c"),
        classes=names("class", "d"),
        accelerators=names("sku", "g"),
        commitments=names("commitment", "o"),
        sites=names("site", "s"),
        periods=names("period", "t"),
        blocks=names("block", "b"),
        apis=names("api", "a"),
        fiscal_years=names("FY", "y"),
    )
