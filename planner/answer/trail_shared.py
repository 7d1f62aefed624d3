"""A shared pool in the sizing trail: with whom, by which row, at which parts."""

from __future__ import annotations

from planner.answer.decided import Decided
from planner.answer.trail_chosen import item
from planner.answer.trail_units import Items


def row_items(decided: Decided, c: int, s: int) -> Items:
    """With which classes a pool is shared, and how much of it each takes; nothing if none."""
    parts = decided.parts(c, s)
    if len(parts) == 1:
        return []
    p = decided.problem
    names = [p.labels.classes[p.pools.class_of[d]] for d in parts]
    lost = float(p.pools.offset_rps[c] / p.pools.rate_rps[c])
    row = " + ".join(
        f"{name} / {p.pools.rate_rps[d]:.4g}" for name, d in zip(names, parts, strict=True)
    )
    t = int(decided.whole_peak(c, s).argmax())
    rates = (
        decided.solution.served_frac[parts, s, t] * p.demand.peak_rps[p.pools.class_of[parts], t]
    )
    load = rates / p.pools.rate_rps[parts][:, None]
    b = int(load.sum(axis=0).argmax())
    when = f"{p.labels.periods[t]}, {p.labels.blocks[b]}"
    replicas = decided.whole_peak(c, s)[t]
    found = [
        item("Pool shared with", ", ".join(n for n, d in zip(names, parts, strict=True) if d != c),
             "", "one stream, each class by its own promise"),
        item("Replicas lost in the shared pool", lost, "replicas",
             f"k replicas carry {row} <= k - {lost:.3g}: requests/s of each class over what a "
             "replica carries of it"),
        item("Replicas of the whole pool", float(replicas), "replicas", when),
    ]  # fmt: skip
    shares = load[:, b] / load[:, b].sum()
    return found + [
        item(f"Share of {name}", float(share), "frac",
             f"{rate:.4g} requests/s: {share * replicas:.3g} of the replicas")
        for name, share, rate in zip(names, shares.tolist(), rates[:, b].tolist(), strict=True)
    ]  # fmt: skip
