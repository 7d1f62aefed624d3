"""Sample reports: which, where they stand, how they are built and how their previews are drawn."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from planner.files.output import atomic_path
from planner.report import write
from planner.result import Plan
from tests.browser import browser

REPORTS = Path(__file__).parents[2] / "reports"
NAMES = ("chat_8b", "enterprise_405b", "portfolio")
"""Scenarios of which the repository holds reports."""
PLAN, WORKBOOK, PAGE = "plan.json", "plan.xlsx", "plan.html"
DECISION_PREVIEW, PAGE_PREVIEW = "decision.png", "page.png"
FILES = (PLAN, WORKBOOK, PAGE, DECISION_PREVIEW, PAGE_PREVIEW)
TOTAL_BYTES_MOST = 15_000_000
UPDATE = "python -m tests.samples.update --render"
_DECISION_PAGE = 2
"""Of the printed workbook: Cover and Decision are one page each."""
_DPI = 110
_CONVERT_S = 300


def folder(name: str) -> Path:
    """Of one scenario's reports."""
    return REPORTS / name


def render(plan: Plan, where: Path) -> None:
    """Write the reports and previews of a plan that stands there."""
    for name in (WORKBOOK, PAGE):
        write(plan, where / name)
    _picture_of_decision(where)
    _picture_of_page(where)


def _picture_of_decision(where: Path) -> None:
    """The Decision sheet as LibreOffice prints it."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            "soffice", "--headless", f"-env:UserInstallation={Path(scratch).as_uri()}/profile",
            "--convert-to", "pdf", "--outdir", scratch, str(where / WORKBOOK),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=_CONVERT_S)
        printed = Path(scratch) / WORKBOOK.replace(".xlsx", ".pdf")
        page = str(_DECISION_PAGE)
        with atomic_path(where / DECISION_PREVIEW) as picture:
            command = [
                "pdftoppm", "-png", "-r", str(_DPI), "-f", page, "-l", page, "-singlefile",
                str(printed), str(picture.with_suffix("")),
            ]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, timeout=_CONVERT_S)


def _picture_of_page(where: Path) -> None:
    """The page's first screen."""
    with browser() as opened, atomic_path(where / PAGE_PREVIEW) as picture:
        opened.dark(on=False)
        opened.open(where / PAGE)
        picture.write_bytes(opened.picture())
