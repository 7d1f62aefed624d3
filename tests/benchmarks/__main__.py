"""Time and size of every phase: python -m tests.benchmarks [small medium large] [--gap 0.001]."""

from __future__ import annotations

import argparse
import sys
import time

from planner.optimize.build import build
from planner.optimize.highs import HighsSession, Progress, loaded
from planner.optimize.solve import optimize
from tests.benchmarks.specs import SPECS, Spec, synthetic

MIB = float(2**20)


def peak_mb() -> float:
    """Largest resident size of this process so far."""
    with open("/proc/self/status", encoding="ascii") as lines:
        kib = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return float(kib) * 1024 / MIB


def raw_s(session: HighsSession) -> float:
    """Seconds to hand the finished matrix to HiGHS: what no modelling layer can go below."""
    started = time.perf_counter()
    loaded(session.matrix)
    return time.perf_counter() - started


def _show(now: Progress) -> None:
    line = f"  {now.seconds:6.1f} s  plan {now.incumbent:,.0f}  bound {now.bound:,.0f}"
    sys.stderr.write(f"{line}  gap {now.gap_frac:.3%}\r")


def measure(name: str, spec: Spec, gap: float, limit_s: float) -> str:
    """One line of figures for a spec."""
    p = synthetic(spec)
    started = time.perf_counter()
    m = build(p)
    built = time.perf_counter()
    session = HighsSession(m)
    compiled = time.perf_counter()
    raw = raw_s(session)
    rows, cols = session.matrix.rows.shape
    nnz, whole = session.matrix.rows.nnz, int(session.matrix.whole.sum())
    del m, session
    begun = time.process_time()
    x = optimize(p, gap=gap, time_limit_s=limit_s, progress=_show if sys.stderr.isatty() else None)
    cpu = time.process_time() - begun
    model_s = compiled - started
    return (
        f"{name:7s} rows {rows:6d} cols {cols:6d} nnz {nnz:7d} whole {whole:5d}  "
        f"build {built - started:5.2f} s compile {compiled - built:5.2f} s "
        f"({model_s / raw:4.0f}x raw highspy {raw:5.3f} s)  solve {x.seconds['solve']:6.2f} s "
        f"fix {x.seconds['fix']:5.2f} s cpu {cpu:6.2f} s  gap {x.gap_frac:.4%} {x.status}  "
        f"cost {x.cost_usd:,.0f}  peak {peak_mb():.0f} MB"
    )


def main() -> None:
    """Measure the named specs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", default=list(SPECS))
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--time-limit-s", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name in args.specs:
        spec = Spec(**{**vars(SPECS[name]), "seed": args.seed})
        sys.stdout.write(measure(name, spec, args.gap, args.time_limit_s) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
