"""Reports of a plan: workbook, terminal, JSON, pandas."""

from planner.report.figures import frames, metrics, recost
from planner.report.output import write

__all__ = ["frames", "metrics", "recost", "write"]
