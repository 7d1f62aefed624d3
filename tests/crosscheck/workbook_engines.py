"""Two spreadsheet engines, the levers they are tried with, and how far they may be from the cache.

The values in a workbook come from the ledger in numpy; the engines start from its formulas, as they
stand or with inputs changed, and are compared with the workbook of the plan costed again.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import ironcalc
import openpyxl

from planner.files.plan_json import read_plan
from planner.report import recost
from planner.report.workbook import workbook_bytes
from planner.result import Plan
from tests.plan_fixture import small_plan
from tests.samples.cases import NAMES, PLAN, folder
from tests.taxed_world import answered, company, leased

VALUE, NAMES_AT = 2, "I"
"""Columns of an input's value and of its name."""
EPOCH = date(1899, 12, 30)
MONEY_USD, MONEY_RATIO, RATE = 0.01, 1e-12, 1e-7
"""Farthest that an engine may be from the cache: money in whole numbers, and everything else."""
GOOD, AS_SOLVED, CHANGED = "All checks hold", "Inputs as solved", "Inputs changed since the solve"
FORMULAS_LEAST = 2000
BOOKS = ("Costs", "Cash", "Annual", "P&L", "P&L months", "Assets", "Commitments", "Tax")
"""Sheets in which nothing but the optimizer's quantities is as solved."""
TIED = ("Profit and loss", "Asset register", "Owed by contract", "Leases by contract", "Tax saved")

Changes = Mapping[str, float]


@dataclass(frozen=True)
class Case:
    """A plan and the changes of its inputs to try; the first changes nothing."""

    name: str
    plan: Callable[[], Plan]
    changes: tuple[Changes, ...]

    def __str__(self) -> str:
        """For names of tests."""
        return self.name


def _sample(name: str) -> Plan:
    return read_plan(folder(name) / PLAN)


_OF_ANY = (
    {"discount_rate": 0.12, "discount_timing": 0.0},
    {"rental_per_year_all": 0.15, "cloud_support_frac": 0.0},
)
_BY_SAMPLE = {
    "chat_8b": (
        {"book_life_years": 3.0},
        {"reserved_3y_h100_sxm_cloud_usd_per_gpu_h": 2.4, "reserved_3y_upfront_frac": 0.5},
    ),
    "enterprise_405b": ({"reserved_3y_b200_sxm_cloud_usd_per_gpu_h": 5.0, "tail_value_frac": 0.5},),
    "portfolio": (
        {"on_demand_b200_sxm_cloud_usd_per_gpu_h": 7.25},
        {"decline_per_year": 0.45, "selling_cost_frac": 0.0, "condition_frac": 0.5},
        {"site_hq_electricity_usd_per_kwh": 0.16, "electricity_per_year": 0.05},
        {"b200_sxm_lot_usd": 450_000.0, "payment_order_frac": 0.3, "payment_delivery_frac": 0.5},
        {"book_life_years": 3.0},
        {"api_per_year": 0.1},
    ),
}
CASES = (
    Case(
        "small", small_plan,
        (
            {},
            {"discount_rate": 0.12},
            {"discount_timing": 0.0},
            {"tail_value_frac": 0.0},
            {"capex_gb200": 3_650_000.0},
            {"power_hq": 0.13, "power_growth": -0.02},
            {"decline_year": 0.45, "selling_frac": 0.0},
            {"reserved_h100": 2.35, "rental_growth": 0.15},
            {"api_price_out": 9.0},
            {"term_1y": 6.0},
            {"lead_gb200": 0.0},
            {"lead_gb200": 11.0},
            {"discount_rate": 0.1, "capex_growth": 0.05, "pue_hq": 1.5},
        ),
    ),
    Case(
        "after tax", lambda: answered()[1].model_copy(update={"gap_frac": 0.0}),
        (
            {},
            {"tax_rate": 0.35, "state_tax_rate": 0.0},
            {"tax_method": 1.0},
            {"tax_method": 2.0, "tax_life_years": 3.5, "tax_convention": 3.0},
            {"tax_method": 3.0, "bonus_frac": 0.4},
            {"tax_method": 5.0, "bonus_frac": 1.0, "state_bonus_conforms": 1.0},
            {"tax_convention": 3.0},
            {"payment_order_frac": 1.0, "payment_delivery_frac": 0.0},
            {"payment_delivery_frac": 0.2, "payment_acceptance_months": 4.0},
            {"reserved_1y_upfront_frac": 1.0, "reserved_1y_term_months": 6.0},
            {"book_life_years": 3.0},
            {"decline_per_year": 0.45, "condition_frac": 0.5, "selling_cost_frac": 0.0},
        ),
    ),
    Case(
        "company", company,
        (
            {},
            {"losses_carried": 0.0},
            {"other_income_usd_per_year": 20_000.0, "tax_rate": 0.3},
            {"fx_eur_year_1": 1.5},
        ),
    ),
    *(
        Case(
            f"leases, {standard}", partial(leased, standard),
            (
                {},
                {"borrowing_rate": 0.15},
                {"reserved_1y_upfront_frac": 0.0, "borrowing_rate": 0.0001},
                {"reserved_1y_term_months": 6.0},
                {"reserved_1y_l40s_cloud_usd_per_gpu_h": 2.9, "rental_per_year_all": 0.2},
            ),
        )
        for standard in ("ifrs_16", "asc_842")
    ),
    *(Case(name, partial(_sample, name), ({}, *_OF_ANY, *_BY_SAMPLE[name])) for name in NAMES),
)  # fmt: skip
"""Every kind of lever: discount, prices, energy, residual, tax, payment, FX, book life."""
BOOKS_ONLY = frozenset({"book_life_years", "borrowing_rate"})
"""Levers that move the books and neither cash nor net present cost."""
OTHER_MONTHS = "term_1y"
"""The lever with which a workbook made anew has fewer months: only totals are compared."""


def tries(*, slow: bool) -> list[tuple[Case, Changes]]:
    """Each case with each of its changes: of the samples, or of the small plans."""
    return [(case, x) for case in CASES for x in case.changes if (case.name in NAMES) == slow]


def number(value: Any) -> Any:
    """Dates as days since the spreadsheet's epoch."""
    if isinstance(value, datetime):
        return (value.date() - EPOCH).days
    return value


@dataclass
class Agreement:
    """Formulas compared and how far apart the two values ever were."""

    formulas: int = 0
    worst_usd: float = 0.0
    worst_rate: float = 0.0
    wrong: list[tuple[str, str, object, object]] = field(default_factory=list)

    def add(self, cell: Any, found: Any, cached: Any) -> None:
        """One formula."""
        self.formulas += 1
        place = (cell.parent.title, cell.coordinate, found, cached)
        if isinstance(cached, str) or isinstance(found, str) or found is None:
            # An engine may read what a formula leaves blank as "".
            if (found or "") != (cached or ""):
                self.wrong.append(place)
            return
        apart = abs(float(found) - float(cached))
        if whole(cell):
            self.worst_usd = max(self.worst_usd, apart)
            limit = max(MONEY_USD, MONEY_RATIO * abs(cached))
        else:
            self.worst_rate = max(self.worst_rate, apart)
            limit = max(RATE, MONEY_RATIO * abs(cached))
        if not apart <= limit:
            self.wrong.append(place)


def whole(cell: Any) -> bool:
    """Whether a cell is shown without decimals, as money in USD is, or is money of a check."""
    return "0.0" not in cell.number_format or cell.parent.title == "Checks"


@dataclass(frozen=True)
class Recalculated:
    """A workbook after an engine has calculated it."""

    book: Any
    """Its formulas, of openpyxl."""
    value: Callable[[str, int, int], Any]
    """Of a sheet's row and column."""

    def formulas(self, titles: Sequence[str]) -> Iterator[Any]:
        """Cells with formulas of the sheets that there are."""
        for title in titles:
            if title in self.book.sheetnames:
                for row in self.book[title].iter_rows():
                    yield from (cell for cell in row if cell.data_type == "f")

    def against(self, raw: bytes, titles: Sequence[str] = ()) -> Agreement:
        """All formulas (of these sheets) against the values stored in a workbook."""
        values = openpyxl.load_workbook(BytesIO(raw), data_only=True)
        found = Agreement()
        for cell in self.formulas(titles or self.book.sheetnames):
            cached = number(values[cell.parent.title][cell.coordinate].value)
            value = number(self.value(cell.parent.title, cell.row, cell.column))
            found.add(cell, value, cached)
        return found

    @property
    def npv_usd(self) -> float:
        """Net present cost on sheet Cash."""
        labels = self.book["Cash"]["A"]
        row = next(c.row for c in labels if str(c.value).startswith("Present value of"))
        return float(self.value("Cash", row, 5))

    @property
    def flag(self) -> str:
        """Whether all checks hold."""
        return str(self.value("Cover", 5, 2))

    @property
    def state(self) -> str:
        """Whether inputs are those of the solve."""
        return str(self.value("Cover", 5, 3))

    def tied(self) -> list[float]:
        """Whether each check that ties two books to each other holds."""
        rows = [c.row for c in self.book["Checks"]["A"] if str(c.value).startswith(TIED)]
        return [self.value("Checks", row, 5) for row in rows]


def input_cell(book: Any, name: str) -> tuple[int, int]:
    """Row and column of an input's value on sheet Inputs."""
    return next((cell.row, VALUE) for cell in book["Inputs"][NAMES_AT] if cell.value == name)


def in_ironcalc(path: Path, changes: Changes) -> Recalculated:
    """Calculated by IronCalc with inputs changed."""
    book = openpyxl.load_workbook(path)
    model = ironcalc.load_from_xlsx(str(path), "en", "UTC")
    position = {title: place for place, title in enumerate(book.sheetnames)}
    for name, value in changes.items():
        model.set_user_input(position["Inputs"], *input_cell(book, name), repr(value))
    model.evaluate()
    return Recalculated(book, lambda title, row, column: model.get_cell_value(
        position[title], row, column))  # fmt: skip


def check(seen: Recalculated, case: Case, changes: Changes) -> Agreement:
    """Hold a recalculated workbook against the plan costed again with the same changes."""
    plan = case.plan()
    again = recost(plan, changes) if changes else plan
    found = Agreement()
    if OTHER_MONTHS not in changes:
        found = seen.against(workbook_bytes(again), BOOKS if changes else ())
    place = (case.name, dict(changes))
    assert found.wrong == [], (place, found.wrong[:5])
    assert found.formulas > FORMULAS_LEAST or OTHER_MONTHS in changes, place
    assert abs(seen.npv_usd - again.npv_usd) <= max(MONEY_USD, MONEY_RATIO * again.npv_usd), place
    moves = not set(changes) <= BOOKS_ONLY
    assert (abs(again.npv_usd - plan.npv_usd) > 1) == moves, place
    assert seen.flag == GOOD, place
    assert seen.state.startswith(CHANGED if changes else AS_SOLVED), place
    assert all(held == 1 for held in seen.tied()), place
    return found


def worst(found: Sequence[Agreement]) -> str:
    """One line for a report: formulas compared and the largest differences."""
    usd, rate = max(x.worst_usd for x in found), max(x.worst_rate for x in found)
    count = sum(x.formulas for x in found)
    return f"{count:,} formulas in {len(found)} workbooks, worst {usd:.1e} USD and {rate:.1e} else"


SOFFICE = shutil.which("soffice")
_ALWAYS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item>
</oor:items>
"""
"""Recalculate on load: left alone, LibreOffice trusts the values that a file holds."""
_CONVERT_S = 900


def in_libreoffice(tries: Sequence[tuple[Path, Changes]], folder: Path) -> list[Recalculated]:
    """Calculated by LibreOffice, which starts twice, side by side, for half of the workbooks each.

    Each is a copy with inputs changed; openpyxl writes it without values, so that nothing but
    LibreOffice can have filled them in.
    """
    copies = []
    for place, (path, changes) in enumerate(tries):
        book = openpyxl.load_workbook(path)
        for name, value in changes.items():
            book["Inputs"].cell(*input_cell(book, name)).value = value
        copies.append(folder / f"try_{place}.xlsx")
        book.save(copies[-1])
    out = folder / "out"
    with ThreadPoolExecutor(max_workers=2) as threads:
        halves = [half for half in (copies[::2], copies[1::2]) if half]
        profiles = [folder / f"profile_{number}" for number in range(len(halves))]
        list(threads.map(lambda half, profile: _convert(half, profile, out), halves, profiles))
    return [_read(copy, out / copy.name) for copy in copies]


def _convert(copies: Sequence[Path], profile: Path, out: Path) -> None:
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_ALWAYS)
    assert SOFFICE is not None
    command = [SOFFICE, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--convert-to",
               "xlsx:Calc MS Excel 2007 XML", "--outdir", str(out), *map(str, copies)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=_CONVERT_S)


def _read(copy: Path, calculated: Path) -> Recalculated:
    values = openpyxl.load_workbook(calculated, data_only=True)
    return Recalculated(
        openpyxl.load_workbook(copy),
        lambda title, row, column: values[title].cell(row, column).value,
    )
