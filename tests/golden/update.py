"""Solve the packaged scenarios again and keep their numbers: python -m tests.golden.update."""

from __future__ import annotations

import json
import sys

from tests.golden.cases import EXPECTED, GAPS, numbers, solve


def update(names: list[str]) -> None:
    """Write the files of these scenarios, of all if none is named."""
    EXPECTED.mkdir(exist_ok=True)
    for name in names or list(GAPS):
        kept = numbers(solve(name))
        rounded = {key: {**row, "value": float(f"{row['value']:.6g}")} for key, row in kept.items()}
        text = json.dumps(rounded, indent=1, ensure_ascii=False)
        (EXPECTED / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        sys.stdout.write(f"{name}: {len(rounded)} numbers\n")


if __name__ == "__main__":
    update(sys.argv[1:])
