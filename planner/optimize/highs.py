"""HiGHS behind a Pyomo model: the standard form, one solve or several, and what is known so far.

Only public functions of highspy are used. Pyomo's own interface passes no MIP start, offers no
callback and captures the process's output; this session does none of that, and a test holds
both to the same optimum. The best plan is kept whenever HiGHS reports it, so that neither a
time limit, nor Ctrl-C, nor a solver error loses it.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import highspy
import numpy as np
import pyomo.environ as pyo
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse import csr_array, vstack

from planner.errors import PlannerError
from planner.problem import Array, Flags

PROGRESS_EVERY_S = 0.2
HEURISTIC_EFFORT = 0.3
"""Share of HiGHS's work that looks for plans; its own 0.05 leaves fleets of a few racks far from
their optimum while the bound is already near it."""
SPREAD_MAX = 1e10
"""Largest over smallest coefficient beyond which double precision decides the plan."""

Status = Literal["optimal", "stopped", "infeasible", "unbounded"]


@dataclass(frozen=True)
class Progress:
    """Where a solve stands; money in the model's unit."""

    seconds: float
    incumbent: float
    """inf before any plan."""
    bound: float
    """-inf before any bound."""

    @property
    def gap_frac(self) -> float:
        """(incumbent - bound) / incumbent; inf before any plan."""
        if math.isinf(self.incumbent) or math.isinf(self.bound):
            return math.inf
        return (self.incumbent - self.bound) / max(abs(self.incumbent), 1e-12)


Report = Callable[[Progress], None]
Enough = Callable[[Progress], bool]
"""Whether what is known answers the question, so that the search may end."""


@dataclass(frozen=True)
class Matrix:
    """A linear program with whole columns, min cost x, row_lower <= A x <= row_upper."""

    cost: Array
    offset: float
    column_lower: Array
    column_upper: Array
    whole: Flags
    rows: csr_array
    row_lower: Array
    row_upper: Array


@dataclass(frozen=True)
class Outcome:
    """What HiGHS found; `values` is None where there is no plan."""

    status: Status
    values: Array | None
    objective: float
    bound: float
    """No solution costs less."""
    seconds: float
    interrupted: bool = False
    """Stopped by Ctrl-C."""


@dataclass
class _Watch:
    """What the callbacks have seen so far."""

    report: Report | None
    enough: Enough | None = None
    started: float = field(default_factory=time.monotonic)
    values: Array | None = None
    incumbent: float = math.inf
    bound: float = -math.inf
    stop: bool = False
    reported: float = -math.inf

    def improving(self, event: Any) -> None:
        out = event.data_out
        if out.objective_function_value < self.incumbent:
            self.incumbent = float(out.objective_function_value)
            self.values = np.array(out.mip_solution, dtype=float)

    def tick(self, event: Any) -> None:
        out = event.data_out
        if math.isfinite(out.mip_dual_bound):
            self.bound = max(self.bound, float(out.mip_dual_bound))
        self.pause(event)
        now = time.monotonic()
        if self.report and now - self.reported >= PROGRESS_EVERY_S:
            self.reported = now
            self.report(self.seen(now))

    def seen(self, now: float) -> Progress:
        return Progress(now - self.started, self.incumbent, self.bound)

    def pause(self, event: Any) -> None:
        if self.stop or (self.enough and self.enough(self.seen(time.monotonic()))):
            event.interrupt()


def compiled(m: pyo.ConcreteModel) -> tuple[Matrix, list[Any], list[Any]]:
    """Matrix, columns (Pyomo variables) and rows (Pyomo constraints) of a model."""
    form = LinearStandardFormCompiler().write(m, mixed_form=True)
    columns = list(form.columns)
    lower = [-math.inf if v.lb is None else float(v.lb) for v in columns]
    upper = [math.inf if v.ub is None else float(v.ub) for v in columns]
    sense = np.array([r.bound_type for r in form.rows])
    matrix = Matrix(
        cost=np.asarray(form.c.todense(), dtype=float).ravel(),
        offset=float(form.c_offset[0]),
        column_lower=np.array(lower, dtype=float),
        column_upper=np.array(upper, dtype=float),
        whole=np.array([v.is_integer() or v.is_binary() for v in columns], dtype=bool),
        rows=csr_array(form.A),
        row_lower=np.where(sense == 1, -math.inf, form.rhs).astype(float),
        row_upper=np.where(sense == -1, math.inf, form.rhs).astype(float),
    )
    return matrix, columns, [r.constraint for r in form.rows]


def coefficient_spread(matrix: Matrix) -> float:
    """Largest over smallest nonzero coefficient of the rows; 1 without any."""
    sizes = np.abs(matrix.rows.data)
    sizes = sizes[sizes > 0]
    return float(sizes.max() / sizes.min()) if sizes.size else 1.0


class HighsSession:
    """One compiled model; solve it, fix part of it, solve it again."""

    def __init__(self, m: pyo.ConcreteModel) -> None:
        self._model = m  # rows hold it weakly
        self.matrix, self.columns, self.rows = compiled(m)
        if np.isnan(self.matrix.cost).any() or np.isnan(self.matrix.rows.data).any():
            raise PlannerError("a price or a coefficient is not a number")
        spread = coefficient_spread(self.matrix)
        if not spread <= SPREAD_MAX:
            raise PlannerError(
                f"coefficients span a factor of {spread:.0e}; a rate, price or power is likely "
                "in the wrong unit"
            )
        self.position = {id(v): j for j, v in enumerate(self.columns)}

    def solve(
        self,
        *,
        gap: float = 1e-3,
        time_limit_s: float = math.inf,
        progress: Report | None = None,
        start: Array | None = None,
        enough: Enough | None = None,
        cutoff: float = math.inf,
    ) -> Outcome:
        """Solve to a relative gap; `start` gives values of the whole columns to begin from.

        Parameters
        ----------
        enough : may end the search earlier.
        cutoff : only plans below this are looked for; a bound above it proves that there is none.
        """
        return solve_matrix(
            self.matrix, gap=gap, time_limit_s=time_limit_s, progress=progress, start=start,
            enough=enough, cutoff=cutoff,
        )  # fmt: skip

    def solve_relaxed(self, time_limit_s: float) -> Outcome:
        """Solve with no whole columns."""
        matrix = self.matrix
        linear = relaxed(matrix, matrix.column_lower, matrix.column_upper)
        return solve_matrix(linear, time_limit_s=time_limit_s)

    def solve_fixed(self, values: Array, fixed: Flags) -> Outcome:
        """Solve again with some columns held at their values and the rest continuous."""
        lower = np.where(fixed, values, self.matrix.column_lower)
        upper = np.where(fixed, values, self.matrix.column_upper)
        return solve_matrix(relaxed(self.matrix, lower, upper))

    def solve_tidied(self, values: Array, fixed: Flags, weights: Array, most: float) -> Outcome:
        """Among solutions of at most this objective, with these columns held, least of weights x.

        The outcome's objective and bound are those of the weights.
        """
        lower = np.where(fixed, values, self.matrix.column_lower)
        upper = np.where(fixed, values, self.matrix.column_upper)
        held = relaxed(self.matrix, lower, upper)
        rows = vstack([held.rows, csr_array(held.cost[None])], format="csr")
        tidy = replace(
            held, cost=weights, offset=0.0, rows=rows,
            row_lower=np.append(held.row_lower, -np.inf),
            row_upper=np.append(held.row_upper, most - held.offset),
        )  # fmt: skip
        return solve_matrix(tidy)

    def shadow_prices(self, values: Array) -> Array:
        """Change of the objective for one more unit of each row's limit, whole columns fixed."""
        highs = loaded(self.matrix)
        highs.setOptionValue("threads", 1)
        whole = np.flatnonzero(self.matrix.whole).astype(np.int32)
        fixed = np.round(values[whole])
        highs.changeColsBounds(whole.size, whole, fixed, fixed)
        kinds = np.full(whole.size, highspy.HighsVarType.kContinuous)
        highs.changeColsIntegrality(whole.size, whole, kinds)
        highs.run()
        return np.array(highs.getSolution().row_dual, dtype=float)

    def value_of(self, values: Array, variable: Any) -> float:
        """Solved value of one Pyomo variable; 0 where no row or price mentions it."""
        j = self.position.get(id(variable))
        return 0.0 if j is None else float(values[j])


def relaxed(matrix: Matrix, lower: Array, upper: Array) -> Matrix:
    """The same program with other column bounds and no whole columns."""
    return Matrix(
        cost=matrix.cost,
        offset=matrix.offset,
        column_lower=lower,
        column_upper=upper,
        whole=np.zeros(matrix.whole.shape, dtype=bool),
        rows=matrix.rows,
        row_lower=matrix.row_lower,
        row_upper=matrix.row_upper,
    )


def loaded(matrix: Matrix) -> Any:
    """A silent HiGHS that holds the matrix."""
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = matrix.rows.shape
    lp.col_cost_, lp.offset_ = matrix.cost, matrix.offset
    lp.col_lower_, lp.col_upper_ = matrix.column_lower, matrix.column_upper
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, matrix.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = matrix.rows.indptr.astype(np.int32)
    lp.a_matrix_.index_ = matrix.rows.indices.astype(np.int32)
    lp.a_matrix_.value_ = matrix.rows.data.astype(float)
    if matrix.whole.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[whole] for whole in matrix.whole.astype(int).tolist()]
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    if highs.passModel(lp) == highspy.HighsStatus.kError:
        raise PlannerError("the solver refused the program")
    return highs


def solve_matrix(
    matrix: Matrix,
    *,
    gap: float = 1e-3,
    time_limit_s: float = math.inf,
    progress: Report | None = None,
    start: Array | None = None,
    enough: Enough | None = None,
    cutoff: float = math.inf,
) -> Outcome:
    """Solve one program on one thread."""
    highs, watch = loaded(matrix), _Watch(progress, enough)
    # The scheduler is global to the process and keeps its first thread count; parallel work is
    # done by processes, so one thread each is right.
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("mip_rel_gap", gap)
    highs.setOptionValue("mip_heuristic_effort", HEURISTIC_EFFORT)
    if math.isfinite(cutoff):
        highs.setOptionValue("objective_bound", cutoff)
        highs.setOptionValue("mip_allow_restart", False)  # a proof is done sooner without
    if math.isfinite(time_limit_s):
        highs.setOptionValue("time_limit", float(time_limit_s))
    if start is not None and matrix.whole.any():
        whole = np.flatnonzero(matrix.whole).astype(np.int32)
        highs.setSolution(whole.size, whole, np.round(start[whole]))
    if matrix.whole.any():
        highs.cbMipImprovingSolution += watch.improving
        highs.cbMipInterrupt += watch.tick
    highs.cbSimplexInterrupt += watch.pause
    with _ctrl_c(watch):
        highs.run()
    return _outcome(highs, matrix, watch)


@contextmanager
def _ctrl_c(watch: _Watch) -> Iterator[None]:
    """Ctrl-C stops the solver, which then hands over its best plan; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: Any) -> None:
        watch.stop = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outcome(highs: Any, matrix: Matrix, watch: _Watch) -> Outcome:
    kind, seconds = highs.getModelStatus(), time.monotonic() - watch.started
    status = highspy.HighsModelStatus
    if kind in (status.kInfeasible, status.kUnboundedOrInfeasible):
        return Outcome("infeasible", None, math.inf, math.inf, seconds)
    if kind == status.kUnbounded:
        return Outcome("unbounded", None, -math.inf, -math.inf, seconds)
    whole, info = bool(matrix.whole.any()), highs.getInfo()
    values, objective = watch.values, watch.incumbent
    feasible = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    if feasible and info.objective_function_value <= objective:
        values = np.array(highs.getSolution().col_value, dtype=float)
        objective = float(info.objective_function_value)
    optimal = kind == status.kOptimal
    if whole:
        # After a solver error the final bound is meaningless; the callbacks' last one is not.
        final = float(info.mip_dual_bound)
        bound = final if feasible and math.isfinite(final) else watch.bound
    else:
        bound = objective if optimal else -math.inf
    if kind == status.kModelEmpty:
        return Outcome("optimal", np.zeros(0), matrix.offset, matrix.offset, seconds)
    found: Status = "optimal" if optimal else "stopped"
    return Outcome(found, values, objective, bound, seconds, watch.stop)


def family_rows(rows: Sequence[Any]) -> list[str]:
    """Family name of every row."""
    return [row.parent_component().local_name for row in rows]
