"""Step 12 of a sizing trail: promised rates, replicas, spares, cache pressure and error band."""

from __future__ import annotations

import numpy as np

from planner.answer import trail_units as units
from planner.answer.trail_chosen import Chosen, item
from planner.answer.trail_shared import row_items
from planner.answer.trail_units import Items
from planner.perf.bands import CALIBRATED, EXTRAPOLATED, MEASURED, PLAN_SHARES
from planner.schema.demand import Online
from planner.units import MILLI

KNOWN_AS = {
    MEASURED: "this model was measured on this accelerator",
    CALIBRATED: "the accelerator's family was measured, this model on it was not",
    EXTRAPOLATED: "coefficients borrowed from another family or precision: wider band",
}


def operating_point(chosen: Chosen) -> Items:
    """Rates, what limits them, machines kept spare, and the error planned for."""
    decided, table, i = chosen.decided, chosen.decided.case.table, chosen.i
    peak = decided.whole_peak(chosen.c, chosen.s)
    stable, alone = float(table.stability_rps[i]), float(table.lambda_star_rps[i])
    slope, offset = float(table.rate_rps[i]), float(table.offset_rps[i])
    one = "unit" if chosen.sides else "replica"
    only = "with nothing but this class" if chosen.config.shared_by else ""
    return [
        *(units.limits(decided.case, i) if chosen.sides else []),
        *row_items(decided, chosen.c, chosen.s),
        item(f"Stability limit of a {one}", stable, "requests/s", only),
        item(f"Promised rate, {one} alone", alone, "requests/s", only),
        item("Promised rate, each more in a pool", slope, "requests/s",
              f"pool carries {slope:.4g} x {one}s - {offset:.4g}; with 1, 2, 3 {one}s "
              + ", ".join(f"{rps:.4g}" for rps in table.small_rps[i].tolist())),
        item("Headroom below stability", 1 - slope / stable, "frac"),
        item("What limits it", table.bindings[i].replace("_", " ")),
        *_gap_steps(chosen),
        *_whole_answers(chosen),
        item(f"{one.capitalize()}s at the peak, first and last period",
              f"{peak[0]:.0f} / {peak[-1]:.0f}", f"{one}s"),
        *_spares(chosen),
        *_cache_pressure(chosen),
        *_band(chosen),
    ]  # fmt: skip


def _spares(chosen: Chosen) -> Items:
    """Nodes out and spare, of each accelerator that a replica uses."""
    p, s = chosen.decided.problem, chosen.s
    used = np.flatnonzero(p.pools.replica_gpus[chosen.c]).tolist()
    found = []
    for g in used:
        of = f", {p.labels.accelerators[g]}" if len(used) > 1 else ""
        slope, offset = p.machines.spare_slope[g, s], p.machines.spare_offset[g, s]
        found += [
            item(f"Share of time a node is out{of}",
                  float(p.machines.node_unavailability[g, s]), "frac"),
            item(f"Spare nodes{of}", f"{slope:.3f} x needed + {offset:.2f}", "nodes",
                  f"for {p.limits.availability_target:.2%} availability"),
        ]  # fmt: skip
    return found


def _gap_steps(chosen: Chosen) -> Items:
    """The two steps between which gaps between tokens jump; nothing where none is promised."""
    table, i, demand = chosen.decided.case.table, chosen.i, chosen.demand
    if not isinstance(demand, Online) or demand.slo.token_itl_ms is None:
        return []
    return [
        item("Gap of a step that only decodes, half full", float(table.decode_step_s[i]) / MILLI,
              "ms"),
        item("Gap of a step that carries a whole chunk", float(table.full_step_s[i]) / MILLI,
              "ms", f"promised {demand.slo.token_itl_ms:g} ms for "
              f"{demand.slo.token_itl_percentile:.1%} of gaps"),
    ]  # fmt: skip


def _whole_answers(chosen: Chosen) -> Items:
    """What of the promised time to the last token no load takes; nothing where it is not promised.

    Percentiles of the sum are no sums: the answer's length decides.
    """
    table, i, demand = chosen.decided.case.table, chosen.i, chosen.demand
    if not isinstance(demand, Online) or demand.slo.e2e_ms is None:
        return []
    return [
        item(f"Whole answer without traffic, p{demand.slo.e2e_percentile * 100:g}",
              float(table.e2e_zero_s[i]) / MILLI, "ms", f"promised {demand.slo.e2e_ms:g} ms; what "
              "is between them is left to others' prompts and larger batches"),
    ]  # fmt: skip


def _cache_pressure(chosen: Chosen) -> Items:
    """How often the cache is full at the planned rate; nothing where the rate was measured."""
    table, i = chosen.decided.case.table, chosen.i
    waiting, preempted = float(table.kv_wait_frac[i]), float(table.preempted_frac[i])
    found = []
    if not np.isnan(waiting):
        found.append(item("Requests that find the KV cache full", waiting, "frac",
                           "and wait for room, at the planned rate, by formula"))  # fmt: skip
    if not np.isnan(preempted):
        found.append(item("Requests pre-empted for want of cache", preempted, "frac",
                           "at the planned rate, simulated pool of 8 replicas"))  # fmt: skip
    return found


def _band(chosen: Chosen) -> Items:
    """What the plan takes of the performance model's error, and whose measurements it knows."""
    case, table, i, config = chosen.decided.case, chosen.decided.case.table, chosen.i, chosen.config
    plan_at = case.scenario.planning.plan_at
    ends = item("Rate at the slow and the fast end",
                 f"{table.rate_rps[i] * table.slow_ratio[i]:.3g} / "
                 f"{table.rate_rps[i] * table.fast_ratio[i]:.3g}", "requests/s",
                 "each more in a pool, promises kept")  # fmt: skip
    if chosen.sides:
        known = item("Performance model", table.labels[i], "", KNOWN_AS[table.labels[i]])
        return [known, *units.bands(chosen.sides, plan_at), ends]
    low, high = float(table.band_low_frac[i]), float(table.band_high_frac[i])
    found = [item("Performance model", table.labels[i], "", KNOWN_AS[table.labels[i]])]
    own = case.catalog.correction(config.accelerator, config.model, config.engine)
    if own is not None:
        found.append(
            item(
                "Step time by own measurements",
                own.time_ratio,
                "x the model's",
                f"{own.source}, {own.as_of.isoformat()}; {own.points:,} points",
            )
        )
    return [
        *found,
        item("80 % of measured steps", f"{low:.2f} to {high:.2f}", "x the estimate",
              "own measurements" if own is not None else "in cross-validation; one error for all "
              "candidates of this model on this accelerator"),
        item(f"Steps planned ({plan_at})", float(table.planned_frac[i]), "x the estimate",
              f"planning.plan_at {plan_at}: {PLAN_SHARES[plan_at]:.0%} of measurements are no "
              "slower"),
        ends,
    ]  # fmt: skip
