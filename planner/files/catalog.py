"""Catalogs in: packaged YAML, merged with a user's overlay folder, checked, as one Catalog.

A row is replaced whole by an overlay row of the same name, never field by field, so that source
and date always belong to the figures beside them. Prices are appended; an overlay price marked
recommended takes over from the packaged one. All problems of all files are reported at once.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from planner.errors import CatalogError
from planner.schema.catalog import (
    Accelerator,
    ApiPrice,
    Assumption,
    Calibration,
    Catalog,
    Correction,
    Engine,
    Facility,
    Model,
    Name,
    Price,
    Quantization,
    Speculator,
    correction_name,
)

if TYPE_CHECKING:
    from yaml import SafeLoader as _FastLoader
else:  # the C parser is ten times as fast and not in every build of PyYAML
    _FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

NO_PRICE_USD = 700.0
"""What one public price list writes where it has no price; never a price here."""

_ROWS: dict[str, tuple[str, Any]] = {
    "accelerators.yaml": ("accelerators", TypeAdapter(dict[Name, Accelerator])),
    "models.yaml": ("models", TypeAdapter(dict[Name, Model])),
    "engines.yaml": ("engines", TypeAdapter(dict[Name, Engine])),
    "quantization.yaml": ("quantizations", TypeAdapter(dict[Name, Quantization])),
    "speculators.yaml": ("speculators", TypeAdapter(dict[Name, Speculator])),
    "prices.yaml": ("prices", TypeAdapter(tuple[Price, ...])),
    "api_prices.yaml": ("api_prices", TypeAdapter(tuple[ApiPrice, ...])),
    "facilities.yaml": ("facilities", TypeAdapter(dict[Name, Facility])),
    "assumptions.yaml": ("assumptions", TypeAdapter(dict[Name, Assumption])),
    "corrections.yaml": ("corrections", TypeAdapter(dict[Name, Correction])),
}
_CALIBRATION: Any = TypeAdapter(dict[Name, Calibration])
_LISTS = frozenset({"prices.yaml", "api_prices.yaml"})


def packaged(kind: str) -> Traversable:
    """Folder of files that ship with the planner: "catalogs" or "scenarios".

    An installed wheel carries it inside the package, a source checkout beside it.

    Raises
    ------
    CatalogError : neither place has it.
    """
    package = files("planner")
    places = (package / "data" / kind, Path(str(package)).parent / kind)
    for place in places:
        if place.is_dir():
            return place
    raise CatalogError(kind, [f"not found in {' or '.join(map(str, places))}; reinstall"])


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like this one, for "did you mean"; blank if none does.

    Examples
    --------
    >>> nearest("h100-smx", ["b200-sxm", "h100-sxm", "l40s"])
    'h100-sxm'
    >>> nearest("zzz", ["l40s"])
    ''
    """
    return next(iter(difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)), "")


def load_catalog(overlay: Path | None = None) -> Catalog:
    """All catalogs, with the rows of an overlay folder merged in.

    Parameters
    ----------
    overlay : folder with any of the catalog's files (calibration in a folder of that name).

    Raises
    ------
    CatalogError : every problem of every file, with file, row and value found.
    """
    problems: list[str] = []
    tables = _read_folder(packaged("catalogs"), problems)
    if overlay is not None:
        _check_overlay(overlay, problems)
        _merge(tables, _read_folder(overlay, problems))
    if not problems:
        problems += _contradictions(tables)
    if problems:
        raise CatalogError(str(overlay or "catalogs"), problems)
    return Catalog.model_construct(**tables)


class _Loader(_FastLoader):
    """Safe YAML in which a key may appear only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Mapping of the node; PyYAML itself lets the last of two equal keys win."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            key = next(k for k, count in Counter(keys).items() if count > 1)
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} appears twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _read_folder(folder: Traversable | Path, problems: list[str]) -> dict[str, Any]:
    """Validated tables of one folder; files that are missing give empty tables."""
    tables: dict[str, Any] = {}
    for file, (table, rows) in _ROWS.items():
        blank: Any = () if file in _LISTS else {}
        tables[table] = _read(folder / file, file, rows, problems) or blank
    tables["calibration"] = {}
    for path in _yaml_files(folder / "calibration"):
        where = f"calibration/{path.name}"
        found = _read(path, where, _CALIBRATION, problems) or {}
        for name in sorted(found.keys() & tables["calibration"].keys()):
            problems.append(f"{where}: {name}: also in another calibration file")
        tables["calibration"].update(found)
    return tables


def _yaml_files(folder: Traversable | Path) -> list[Traversable]:
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.name.endswith(".yaml")]
    return sorted(found, key=lambda path: path.name)


def _read(path: Traversable | Path, where: str, rows: Any, problems: list[str]) -> Any:
    """Validated rows of one file; None where it is missing or wrong."""
    if not path.is_file():
        return None
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        return rows.validate_python(_blank(where) if data is None else data)
    except yaml.YAMLError as error:
        problems.append(f"{where}: {_one_line(error)}")
    except UnicodeDecodeError as error:
        problems.append(f"{where}: not UTF-8: {error.reason} at byte {error.start}")
    except ValidationError as error:
        problems += [f"{where}: {line}" for line in _sentences(error)]
    return None


def _blank(where: str) -> list[Any] | dict[str, Any]:
    return [] if where in _LISTS else {}


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())


def _sentences(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path = ".".join(map(str, problem["loc"])) or "top level"
        message = problem["msg"][0].lower() + problem["msg"][1:]
        found = problem["input"]
        got = "" if isinstance(found, Mapping | list | tuple) else f", got {found!r}"
        yield f"{path}: {message}{got}"


def _check_overlay(overlay: Path, problems: list[str]) -> None:
    """Refuse an overlay that is no folder or holds a file that no catalog reads."""
    if not overlay.is_dir():
        problems.append(f"{overlay}: not a folder")
        return
    for path in sorted(overlay.glob("*.y*ml")):
        if path.name not in _ROWS:
            near = nearest(path.name, _ROWS)
            problems.append(
                f"{path.name}: no such catalog; {f'did you mean {near}' if near else 'remove it'}"
            )


def _merge(tables: dict[str, Any], extra: dict[str, Any]) -> None:
    """Put the overlay's rows over the packaged ones."""
    taken_over = {(p.accelerator, p.option) for p in extra["prices"] if p.recommended}
    kept = tuple(
        p.model_copy(update={"recommended": False})
        if p.recommended and (p.accelerator, p.option) in taken_over
        else p
        for p in tables["prices"]
    )
    products = {(p.provider, p.product) for p in extra["api_prices"]}
    apis = tuple(p for p in tables["api_prices"] if (p.provider, p.product) not in products)
    for table, rows in extra.items():
        if table == "prices":
            tables[table] = kept + rows
        elif table == "api_prices":
            tables[table] = apis + rows
        else:
            tables[table] = tables[table] | rows


def _contradictions(tables: dict[str, Any]) -> Iterator[str]:
    """Rows that are right by themselves and wrong together."""
    yield from _unknown_names(tables)
    yield from _wrong_prices(tables["prices"])
    for file, table in (("accelerators", "accelerators"), ("engines", "engines")):
        for name, row in tables[table].items():
            if not row.plannable and not row.excluded_because:
                yield f"{file}.yaml: {name}.excluded_because: say why it is not plannable"
    for name, row in tables["assumptions"].items():
        if not (row.low or row.value) <= row.value <= (row.high or row.value):
            yield f"assumptions.yaml: {name}.value: {row.value} outside {row.low} to {row.high}"


def _unknown_names(tables: dict[str, Any]) -> Iterator[str]:
    """References to rows that no catalog has."""
    schemes = tables["quantizations"]
    generations = {row.generation for row in tables["accelerators"].values()}
    for n, price in enumerate(tables["prices"]):
        where = f"prices.yaml: {n} ({price.provider}).accelerator"
        yield from _unknown(where, price.accelerator, tables["accelerators"])
    for n, api in enumerate(tables["api_prices"]):
        where = f"api_prices.yaml: {n} ({api.provider}).model"
        yield from _unknown(where, api.model, tables["models"])
    for name, model in tables["models"].items():
        where = f"models.yaml: {name}.native_quantization"
        yield from _unknown(where, model.native_quantization, schemes)
    for name, scheme in schemes.items():
        where = f"quantization.yaml: {name}: generation"
        used = scheme.native_generations + scheme.weight_only_generations
        yield from chain.from_iterable(_unknown(where, g, generations) for g in used)
    for name, engine in tables["engines"].items():
        yield from _unknown_in_engine(f"engines.yaml: {name}", engine, schemes, generations)
    for name, draft in tables["speculators"].items():
        where = f"speculators.yaml: {name}"
        yield from _unknown(f"{where}.model", draft.model, tables["models"])
        for engine in draft.engines:
            yield from _unknown(f"{where}.engines", engine, tables["engines"])
    for name, row in tables["corrections"].items():
        yield from _wrong_correction(f"corrections.yaml: {name}", name, row, tables)


def _wrong_correction(
    where: str, name: str, row: Correction, tables: Mapping[str, Any]
) -> Iterator[str]:
    """Unknown groups, and rows that would never be found."""
    yield from _unknown(f"{where}.accelerator", row.accelerator, tables["accelerators"])
    yield from _unknown(f"{where}.model", row.model, tables["models"])
    yield from _unknown(f"{where}.engine", row.engine, tables["engines"])
    expected = correction_name(row.accelerator, row.model, row.engine)
    if name != expected:
        yield f"{where}: rows are named by their group; call it {expected}"


def _unknown_in_engine(
    where: str, engine: Engine, schemes: Iterable[str], generations: Iterable[str]
) -> Iterator[str]:
    for scheme in engine.quantizations:
        yield from _unknown(f"{where}.quantizations", scheme, schemes)
    for dtype in engine.kv_dtypes:
        yield from _unknown(f"{where}.kv_dtypes", f"kv-{dtype}", schemes)
    for generation in engine.generations_excluded:
        yield from _unknown(f"{where}.generations_excluded", generation, generations)


def _unknown(where: str, name: str | None, known: Iterable[str]) -> Iterator[str]:
    if name is not None and name not in known:
        near = nearest(name, known)
        yield f"{where}: unknown {name!r}" + (f"; did you mean {near!r}?" if near else "")


def _wrong_prices(prices: tuple[Price, ...]) -> Iterator[str]:
    """Sentinels, ranges that miss their price, units that miss their option, two defaults."""
    for n, price in enumerate(prices):
        where = f"prices.yaml: {n} ({price.provider}, {price.accelerator}, {price.option})"
        if price.usd == NO_PRICE_USD:
            yield f"{where}.usd: 700.0 stands for no price in public lists; remove the row"
        low, high = price.usd_low or price.usd, price.usd_high or price.usd
        if not low <= price.usd <= high:
            yield f"{where}.usd: {price.usd} lies outside {low} to {high}"
        if (price.option == "capex") != (price.unit != "usd_per_gpu_h"):
            yield f"{where}.unit: {price.unit} does not fit {price.option}"
    defaults = Counter((p.accelerator, p.option) for p in prices if p.recommended)
    for (accelerator, option), count in defaults.items():
        if count > 1:
            yield f"prices.yaml: {count} recommended rows for {accelerator}, {option}; keep one"


__all__ = ["NO_PRICE_USD", "load_catalog", "nearest", "packaged"]
