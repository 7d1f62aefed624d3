"""Answers of variants in the user's cache, by everything they follow from."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from planner import files
from planner.alternatives.outcome import Answered, outcome
from planner.alternatives.variants import Variant
from planner.candidates.case import Case
from planner.finance import ledger
from planner.finance.ledger import Input
from planner.result import OptionRow


def fingerprint(question: Case, *, gap: float, limit_s: float) -> str:
    """Digest of a question: scenario, catalog, the rates of its candidates, the planner itself."""
    digest = hashlib.sha256()
    for part in (
        question.scenario.model_dump_json(),
        question.catalog.model_dump_json(),
        f"{gap} {limit_s} {_sources()}",
    ):
        digest.update(part.encode())
    digest.update(question.table.rate_rps.tobytes())
    digest.update(question.table.offset_rps.tobytes())
    digest.update(question.table.pool_rps.tobytes())
    return digest.hexdigest()


def _sources() -> str:
    """Digest of the planner's modules: another version's answers are not this one's."""
    folder = Path(files.__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def answered(variant: Variant, key: str, *, gap: float, limit_s: float) -> Answered:
    """The variant's answer, from the cache where it is there.

    What ran out of time is solved again, since it may have been the machine that was busy.
    """
    from planner.files import cache  # noqa: PLC0415  (brings the compiler)

    name = hashlib.sha256(f"{key} {variant.name}".encode()).hexdigest()
    solved: list[Answered] = []

    def compute() -> dict[str, Any]:
        solved.append(outcome(variant, gap=gap, limit_s=limit_s))
        return written(solved[0])

    found = read(cache.remembered_json(name, compute))
    if found.row.status == "unsolved" and not solved:
        return outcome(variant, gap=gap, limit_s=limit_s)
    return found


def written(found: Answered) -> dict[str, Any]:
    """As JSON holds it."""
    return {
        "row": found.row.model_dump(mode="json"),
        "lines": ledger.dump(found.lines),
        "inputs": [asdict(given) for given in found.inputs],
    }


def read(value: dict[str, Any]) -> Answered:
    """Back from `written`."""
    return Answered(
        OptionRow.model_validate(value["row"]),
        ledger.load(value["lines"]),
        tuple(Input(**given) for given in value["inputs"]),
    )
