"""Lists on the page: sizing trail, candidates, inputs, sources, checks, what to know."""

from __future__ import annotations

import re
from collections import Counter

import yaml

from planner.report.checks import Check, checks
from planner.report.html_decision import result_words
from planner.report.html_model import (
    Block,
    Bullets,
    Cell,
    Column,
    Grid,
    Heading,
    Row,
    Section,
    Table,
    Verbatim,
    shown,
)
from planner.report.page import Book
from planner.report.sheet_tables import ranked, why_not
from planner.report.words import gap_text, plural
from planner.report.workbook import write_parts
from planner.result import CandidateRow, Plan

CANDIDATES_FIRST = 60
"""Rows in the page itself and on paper; scripts show the rest."""
_REASONS_MOST = 12

_CANDIDATES: tuple[tuple[Column, str], ...] = (
    (Column("Class"), "serves"),
    (Column("Model"), "model"),
    (Column("Accelerator"), "hardware"),
    (Column("Weights"), "quantization"),
    (Column("KV cache"), "kv_dtype"),
    (Column("Engine"), "engine"),
    (Column("Layout"), "layout"),
    (Column("Mode"), "mode"),
    (Column("GPUs", style="count"), "gpus"),
    (Column("Cost at full use", "USD/Mtoken", "cents"), "usd_per_mtoken"),
    (Column("Cheapest way"), "usd_per_mtoken_way"),
    (Column("Rate alone", "requests/s", "cents"), "lambda_star_rps"),
    (Column("Limited by"), "binding"),
    (Column("Output", "tokens/s a GPU", "count"), "output_tokens_per_s_per_gpu"),
    (Column("Quality kept", style="percent"), "recovery_frac"),
    (Column("KV cache", "tokens", "count"), "kv_tokens"),
    (Column("TTFT zero load", "ms", "count"), "ttft_zero_load_ms"),
    (Column("TPOT zero load", "ms", "tenths"), "tpot_zero_load_ms"),
    (Column("Known"), "label"),
)

GLOSSARY = (
    ("Net present cost", "all cash out, discounted to the start of the horizon"),
    ("SLO", "service level objective: the promised latency at a percentile of requests"),
    ("TTFT", "time to first token: from arrival to the first token of the answer"),
    ("TPOT", "time per output token after the first"),
    ("E2E", "end to end: from arrival to the last token of the answer"),
    ("KV cache", "memory that holds the attention keys and values of the requests in flight"),
    ("TP, PP, EP", "tensor, pipeline, expert parallel: over how many GPUs a replica is split"),
    ("Replica", "one running copy of a model on its GPUs"),
    ("Lot", "what is ordered at once: a node or a rack"),
    ("Mtoken", "a million tokens"),
    ("Gap", "most that a better plan could save, as a share of this plan's net present cost"),
    ("Dominated", "another configuration is at least as good in everything"),
)


def trail(plan: Plan) -> Section | None:
    """Thirteen steps from traffic to cost, class by class; None without classes."""
    if not plan.trails:
        return None
    columns = [
        Column("Quantity", wide=True),
        Column("Value", style="auto"),
        Column("Unit"),
        Column("Note", wide=True),
    ]
    blocks: list[Block] = []
    for one in plan.trails:
        rows: list[Row] = []
        for step in one.steps:
            rows.append(Row([f"{step.number}. {step.title}"], look="group"))
            rows += [Row([i.label, i.value, i.unit, i.note]) for i in step.items]
        blocks.append(Table(f"Class {one.demand_class}", columns, rows))
    lead = "Every number from traffic to cost, in the order in which it was derived."
    return Section("trail", "Sizing trail", lead, blocks)


def candidates(plan: Plan) -> Section | None:
    """Every configuration: used, kept, dominated, refused with its reason."""
    rows = ranked(plan)
    if not rows:
        return None
    used = {pool.candidate for pool in plan.pools}
    feasible = sum(row.feasible for row in rows)
    lead = (
        f"{plural(len(rows), 'configuration')}: {feasible:,} can serve, {len(used):,} used, "
        f"{len(rows) - feasible:,} refused."
    )
    columns = [
        Column("State"),
        *[column for column, _ in _CANDIDATES],
        Column("Why not", wide=True),
    ]
    cells = [_candidate(row, used) for row in rows]
    grid = Grid(
        "candidates-grid", "Configurations: used, kept, dominated, refused; the cheapest first",
        columns, cells, CANDIDATES_FIRST,
        filters=("State", "Class", "Model", "Accelerator", "Engine", "Limited by"),
    )  # fmt: skip
    return Section("candidates", "Candidates", lead, [*_reasons(rows), grid])


def state(row: CandidateRow, used: set[str]) -> str:
    """used, kept, dominated or refused."""
    if row.id in used:
        return "used"
    return "refused" if not row.feasible else "dominated" if row.pruned_by else "kept"


def _candidate(row: CandidateRow, used: set[str]) -> list[Cell]:
    fields: list[Cell] = [getattr(row, name) for _, name in _CANDIDATES]
    limited = [name for _, name in _CANDIDATES].index("binding")
    fields[limited] = row.binding.replace("_", " ")
    return [state(row, used), *fields, why_not(row)]


def _reasons(rows: list[CandidateRow]) -> list[Block]:
    """Refusals by kind: reasons that differ in their numbers only count as one."""
    refused = [row.reason for row in rows if not row.feasible and row.reason]
    kinds = Counter(_kind(reason) for reason in refused)
    first = {_kind(reason): reason for reason in reversed(refused)}
    if not kinds:
        return []
    columns = [Column("Why not, for example", wide=True), Column("Configurations", style="count")]
    found = [Row([first[kind], count]) for kind, count in kinds.most_common(_REASONS_MOST)]
    if rest := sum(kinds.values()) - sum(n for _, n in kinds.most_common(_REASONS_MOST)):
        found.append(Row(["other reasons", rest]))
    return [Table("Why configurations cannot serve", columns, found)]


def _kind(reason: str) -> str:
    return re.sub(r"[0-9][0-9.,]*", "#", reason)


def inputs(plan: Plan) -> Section:
    """Every number behind the cash rows."""
    columns = [
        Column("Input", wide=True),
        Column("Value", style="auto"),
        Column("Unit"),
        Column("Basis"),
        Column("As of"),
        Column("Scenario path"),
        Column("Source", wide=True),
    ]
    rows: list[list[Cell]] = [
        [row.label, row.value, row.unit, row.basis, row.as_of, row.scenario_path, row.source]
        for row in plan.ledger_inputs
    ]
    grid = Grid(
        "inputs-grid", "Numbers behind the cash rows", columns, rows, len(rows), ("Basis",),
        note="To cost the same fleet with others: planner report PLAN --set PATH=NUMBER.",
    )  # fmt: skip
    lead = "Prices, rates and figures from which every amount on this page follows."
    return Section("inputs", "Inputs", lead, [grid] if rows else [Bullets(["No inputs."])])


def sources(plan: Plan) -> Section | None:
    """Where every number comes from."""
    if not plan.sources:
        return None
    columns = [
        Column("Figure", wide=True),
        Column("Value"),
        Column("Unit"),
        Column("As of"),
        Column("Basis"),
        Column("Stale"),
        Column("Used in"),
        Column("Source", wide=True),
    ]
    rows: list[list[Cell]] = [
        [
            *(row.what, row.value, row.unit, row.as_of, row.basis),
            *("stale" if row.stale else "", row.used_in, row.source),
        ]
        for row in plan.sources
    ]
    stale = sum(row.stale for row in plan.sources)
    grid = Grid(
        "sources-grid", "Figures with source, date and basis", columns, rows, len(rows),
        ("Basis", "Stale", "Used in"),
    )  # fmt: skip
    lead = f"{plural(len(rows), 'figure')}, {stale:,} older than their limit."
    return Section("sources", "Sources", lead, [grid])


def verdicts(plan: Plan) -> list[Check]:
    """Checks whose expected value is known without a spreadsheet: not those of two formulas."""
    found = checks(write_parts(Book(), plan))
    return [check for check in found if check.when_as_solved or not check.expected]


def audit(plan: Plan, found: list[Check]) -> Section:
    """What must hold, and whether it does."""
    columns = [
        Column("Check", wide=True),
        Column("Found", style="auto"),
        Column("Expected"),
        Column("Tolerance", style="auto"),
        Column("Holds"),
        Column("What it means", wide=True),
    ]
    rows = [
        Row(
            [
                check.name,
                _small(check.found_value),
                f"{'at most ' if check.at_most else ''}{_small(check.expected_value)}",
                _small(check.tolerance),
                "yes" if check.holds else "NO",
                check.note,
            ]
        )
        for check in found
    ]
    failed = sum(not check.holds for check in found)
    lead = f"{plural(failed, 'check')} of {len(found)} fails." if failed else "All checks hold."
    table = Table("Checks, recomputed from the plan without the solver", columns, rows)
    return Section("checks", "Checks", lead, [table])


def _small(value: float) -> str:
    """Plain where it is of everyday size, else with an exponent; zero stays 0."""
    if value == 0 or 1e-3 <= abs(value) < 1e15:
        return "0" if value == 0 else shown(value)
    return f"{value:.1e}"


def about(plan: Plan) -> Section:
    """Notes, the run, the scenario as written, words."""
    facts = (
        ("Scenario", str(plan.scenario.get("name", ""))),
        ("Question", str(plan.scenario.get("description", "")).strip()),
        ("Horizon", f"{plan.periods[0].label} to {plan.periods[-1].label}"),
        ("Result", gap_text(plan)),
        *result_words(plan),
        ("Solved", f"{plan.created_at} by inference-fleet-planner {plan.tool_version}"),
        ("Scenario SHA-256", plan.scenario_sha256),
    )
    words = yaml.safe_dump(plan.scenario, sort_keys=False, allow_unicode=True, width=90)
    blocks: list[Block] = [Heading("Notes"), Bullets(plan.notes)] if plan.notes else []
    pair = [Column("What"), Column("Answer", wide=True)]
    blocks += [
        Table("This plan", pair, [Row([name, text]) for name, text in facts if text]),
        Table("Words", [Column("Word"), Column("Meaning", wide=True)], [Row(x) for x in GLOSSARY]),
        Verbatim("Scenario as written, defaults filled in", words),
    ]
    return Section("notes", "Notes", "What to know of this plan, and how it came about.", blocks)
