"""Drop-down lists and limits of the scenario workbook, from the schema and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openpyxl.worksheet.datavalidation import DataValidation

from planner.files.excel_form import Field, Form

PERCENTILES = "0.5,0.9,0.95,0.99,0.999"
CATALOG = {
    "accelerator": "Accelerators",
    "accelerators": "Accelerators",
    "model": "Models",
    "models": "Models",
    "engine": "Engines",
    "engines": "Engines",
    "quantization": "Weight formats",
    "quantizations": "Weight formats",
    "facility": "Facilities",
    "api_providers": "API providers",
    "lead_time_months.key": "Accelerators",
}
"""Fields that name rows of the catalog, with the list that offers them."""
REFERENCES = {"site": "sites", "demand_class": "demand", "demand": "demand", "sites": "sites"}
"""Fields that name an entry of another sheet."""


@dataclass(frozen=True)
class Offers:
    """Where drop-down lists take their names from: ranges by list or by sheet."""

    catalog: Mapping[str, str]
    names: dict[str, str]


def rule_of(form: Form, field: Field, offers: Offers) -> DataValidation | None:
    """The drop-down list or the limits of a field, if it has any."""
    source, strict = _names(form, field, offers), False
    if not source and field.choices:
        source = f'"{",".join(str(choice) for choice in field.choices)}"'
        strict = field.types == {"string"}
    if field.types == {"boolean"}:
        source, strict = '"TRUE,FALSE"', True
    if not source and field.path[-1].endswith("_percentile"):
        source = f'"{PERCENTILES}"'
    if source:
        rule = DataValidation("list", formula1=source, allow_blank=True)
        rule.showErrorMessage = strict
        rule.error = "Choose one of the list."
    elif field.types in ({"number"}, {"integer"}) and field.minimum is not None:
        rule = _limits(field)
    else:
        return None
    if "array" in field.types:
        rule.promptTitle, rule.showInputMessage = field.label[:32], True
        rule.prompt = "Several: write them with commas between, a, b, c. The list shows the names."
    return rule


def _names(form: Form, field: Field, offers: Offers) -> str:
    key = field.path[-1]
    if form.path and f"{form.path[-1]}.{key}" in CATALOG:
        key = f"{form.path[-1]}.{key}"
    if key in CATALOG:
        return offers.catalog[CATALOG[key]]
    return offers.names.get(REFERENCES.get(key, ""), "")


def _limits(field: Field) -> DataValidation:
    whole, least, most = field.types == {"integer"}, field.minimum, field.maximum
    rule = DataValidation(
        "whole" if whole else "decimal",
        operator="greaterThanOrEqual" if most is None else "between",
        formula1=f"{least:g}",
        formula2=None if most is None else f"{most:g}",
        allow_blank=True,
    )
    rule.showErrorMessage = True
    span = f"at least {least:g}" if most is None else f"{least:g} to {most:g}"
    rule.error = f"{field.label} is a {'whole ' if whole else ''}number, {span}."
    return rule
