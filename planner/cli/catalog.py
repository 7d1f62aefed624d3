"""`planner catalog`: what the planner knows about hardware, models and prices, with sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.shared import catalog_option, json_option, print_json, show

if TYPE_CHECKING:
    from planner.schema.catalog import Catalog

FAMILIES = (
    "accelerators",
    "models",
    "engines",
    "quantizations",
    "prices",
    "api_prices",
    "facilities",
    "assumptions",
    "calibration",
    "corrections",
)
_SUBJECT = ("title", "option", "product", "hf_repo", "unit", "family")


@click.group("catalog")
def command() -> None:
    """Look into the catalog.

    Every figure has its source, its date and its basis.

    \b
    Example:
        planner catalog list accelerators
        planner catalog show h200-sxm

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """


@command.command("list")
@click.argument("family", type=click.Choice(FAMILIES), required=False)
@catalog_option
@json_option
def list_rows(family: str | None, catalog: Path | None, as_json: bool) -> None:
    """List the rows of FAMILY, or the families with their sizes.

    \b
    Example:
        planner catalog list prices

    \b
    Exit status:
        0  done
        2  the command or a file is wrong
    """
    from planner.files.catalog import load_catalog

    known = load_catalog(catalog)
    if family is None:
        sizes = {name: len(getattr(known, name)) for name in FAMILIES}
        _print_table(["family", "rows"], [[n, str(s)] for n, s in sizes.items()], sizes, as_json)
        return
    rows = dict(_rows(known, family))
    lines = [
        [name, _subject(row), str(row["as_of"]), row["basis"], row["source"]]
        for name, row in rows.items()
    ]
    _print_table(["name", "what", "as of", "basis", "source"], lines, rows, as_json)


@command.command("show")
@click.argument("name")
@catalog_option
@json_option
def show_rows(name: str, catalog: Path | None, as_json: bool) -> None:
    """Show every row called NAME, and the prices of it.

    \b
    Example:
        planner catalog show llama-3.1-405b --json

    \b
    Exit status:
        0  done
        2  no row has that name; the nearest are printed
    """
    import yaml

    from planner.errors import CatalogError
    from planner.files.catalog import load_catalog
    from planner.files.problems import meant

    known = load_catalog(catalog)
    found: dict[str, Any] = {}
    names = set()
    for family in FAMILIES:
        for key, row in _rows(known, family):
            names.add(row.get("accelerator") or row.get("model") or key)
            if name in (key, row.get("accelerator"), row.get("model")):
                found.setdefault(family, {})[key] = row
    if not found:
        raise CatalogError("catalog", [f"no row {name!r}; {meant(name, names)}"])
    if as_json:
        print_json(found)
    else:
        click.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100).rstrip())


@command.command("check")
@click.argument(
    "folder", type=click.Path(file_okay=False, exists=True, path_type=Path), required=False
)
@json_option
def check_rows(folder: Path | None, as_json: bool) -> None:
    """Check the catalog, with your own rows of FOLDER: every row needs source, date and basis.

    \b
    Example:
        planner catalog check my_rows/

    \b
    Exit status:
        0  every row is sound
        2  a row is wrong; every problem is printed
    """
    from planner.files.catalog import load_catalog

    known = load_catalog(folder)
    sizes = {name: len(getattr(known, name)) for name in FAMILIES}
    if as_json:
        print_json({"rows": sum(sizes.values()), "families": sizes})
    else:
        click.echo(f"{sum(sizes.values())} rows in {len(sizes)} families are sound")


def _rows(catalog: Catalog, family: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a family as plain values; prices are numbered, blanks left out."""
    rows = getattr(catalog, family)
    pairs = rows.items() if isinstance(rows, dict) else enumerate(rows, start=1)
    for key, row in pairs:
        plain = row.model_dump(mode="json", exclude_none=True)
        label = plain.get("accelerator") or plain.get("model") or plain.get("product")
        yield (key if isinstance(key, str) else f"{key} {label}"), plain


def _subject(row: dict[str, Any]) -> str:
    words = " ".join(str(row[key]) for key in _SUBJECT if row.get(key))
    figure = row.get("usd", row.get("value"))
    return words if figure is None else f"{figure:g} {words}"


def _print_table(head: list[str], lines: list[list[str]], value: Any, as_json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    if as_json:
        print_json(value)
        return
    table = Table(*head, box=None)
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    show(table)
