"""What a page is made of: sections of figures, lists, tables and charts. No markup in here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Style = Literal["text", "count", "tenths", "cents", "fine", "percent", "auto"]
Cell = str | float | None
_DECIMALS = {"count": 0, "tenths": 1, "cents": 2, "fine": 4}
_SHORT_ROWS = 16
ZERO = "–"
"""Shown for nothing at all, so that what is there stands out."""


def shown(value: Cell, style: Style = "auto") -> str:
    """A cell as text.

    Examples
    --------
    >>> shown(1234.5, "tenths"), shown(0.0724, "percent"), shown(0.0, "count")
    ('1,234.5', '7.2%', '–')
    >>> shown(float("inf"), "count"), shown(None), shown("hq")
    ('∞', '', 'hq')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0:
        return ZERO
    if style == "percent":
        return f"{value:.1%}"
    decimals = _DECIMALS.get(style, decimals_for(value))
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def decimals_for(value: float) -> int:
    """Decimals that keep about four digits of a number whose size is not known before.

    Examples
    --------
    >>> [decimals_for(x) for x in (12.0, 4321.7, 3.25, 0.0123)]
    [0, 0, 2, 5]
    """
    size = abs(value)
    if float(value).is_integer() or size >= 1000:
        return 0
    if size >= 0.1:
        return 2
    return min(12, 3 - math.floor(math.log10(size)))


def price_style(prices: Iterable[float | None]) -> Style:
    """Cents, or a hundredth of them where some price is only cents.

    Examples
    --------
    >>> price_style([4.82, None]), price_style([0.22, 0.037])
    ('cents', 'fine')
    """
    known = [price for price in prices if price]
    return "fine" if min(known, default=1.0) < 0.1 else "cents"


@dataclass(frozen=True)
class Column:
    """Heading of a table's column; numbers stand right, in one style."""

    heading: str
    unit: str = ""
    style: Style = "text"
    wide: bool = False
    """Long text, which may wrap."""

    @property
    def title(self) -> str:
        """Heading with unit."""
        return f"{self.heading}, {self.unit}" if self.unit else self.heading


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    cells: Sequence[Cell]
    style: Style | None = None
    """Of all its numbers; else that of each column."""
    look: Literal["", "total", "group"] = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; its first column names the rows."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str = ""

    @property
    def short(self) -> bool:
        """Whether paper keeps it on one page."""
        return len(self.rows) <= _SHORT_ROWS

    def texts(self, row: Row) -> list[tuple[str, Column]]:
        """What each cell shows, with its column."""
        return [
            (shown(cell, row.style or column.style), column)
            for cell, column in zip(row.cells, self.columns, strict=False)
        ]


@dataclass(frozen=True)
class Grid:
    """A long table that can be searched, filtered and sorted; without scripts its beginning."""

    kind: ClassVar[str] = "grid"
    id: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    first: int
    """Rows that stand in the page itself and on paper."""
    filters: Sequence[str] = ()
    """Headings of the columns with a list to choose from."""
    note: str = ""

    @property
    def table(self) -> Table:
        """Its beginning."""
        return Table(self.caption, self.columns, [Row(cells) for cells in self.rows[: self.first]])

    def data(self) -> dict[str, Any]:
        """For the page's script: columns of values, repeated words written once."""
        values = [_packed([row[i] for row in self.rows]) for i in range(len(self.columns))]
        columns = [
            {
                "title": column.title,
                "style": column.style,
                "wide": column.wide,
                "filter": column.heading in self.filters,
                **packed,
            }
            for column, packed in zip(self.columns, values, strict=True)
        ]
        return {"id": self.id, "first": self.first, "count": len(self.rows), "columns": columns}


def _packed(values: Sequence[Cell]) -> dict[str, Any]:
    if any(isinstance(value, str) for value in values):
        texts = [shown(value) for value in values]
        words = list(dict.fromkeys(texts))
        place = {word: i for i, word in enumerate(words)}
        return {"words": words, "values": [place[text] for text in texts]}
    return {"values": [finite(value) for value in values]}


def finite(value: Any) -> float | None:
    """A number that JSON can carry, to six digits; None where there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class Series:
    """One row of a chart. Points of a scatter chart are pairs (x, y)."""

    label: str
    values: Sequence[float] | Sequence[tuple[float, float]]
    role: Literal["", "target", "planned", "under", "good", "bad"] = ""
    """A promise, drawn dashed; the planned point, drawn as a mark; nothing, on which others stand;
    better and worse. A series without a label is not told in legend and hover."""


@dataclass(frozen=True)
class Chart:
    """A picture of a table, which stands with it for those who cannot see it."""

    kind: ClassVar[str] = "chart"
    id: str
    title: str
    shape: Literal["stacked", "lines", "scatter", "tornado"]
    x_title: str
    y_title: str
    """With its unit."""
    series: Sequence[Series]
    table: Table
    labels: Sequence[str] = ()
    decimals: int = 0
    """Of the values that hovering shows."""
    half: bool = False
    """Two stand side by side."""
    start: float = 0.0
    """Where the value axis begins."""

    def data(self) -> dict[str, Any]:
        """For the page's script."""
        return {
            "id": self.id, "shape": self.shape, "x": self.x_title, "y": self.y_title,
            "title": self.title, "labels": list(self.labels), "decimals": self.decimals,
            "start": self.start,
            "series": [
                {"label": row.label, "role": row.role, "values": [_point(v) for v in row.values]}
                for row in self.series
            ],
        }  # fmt: skip


def _point(value: Any) -> Any:
    if isinstance(value, tuple):
        return {"x": finite(value[0]), "y": finite(value[1])}
    return finite(value)


@dataclass(frozen=True)
class Figure:
    """A key figure on a tile."""

    label: str
    value: str
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """Tiles in a row."""

    kind: ClassVar[str] = "figures"
    tiles: Sequence[Figure]


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"
    lines: Sequence[str]
    tone: Literal["", "ask", "warning"] = ""


@dataclass(frozen=True)
class Heading:
    """Begins a part of a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Verbatim:
    """Text as it was written, opened on demand."""

    kind: ClassVar[str] = "verbatim"
    title: str
    text: str


@dataclass(frozen=True)
class Plots:
    """Charts beside each other."""

    kind: ClassVar[str] = "plots"
    charts: Sequence[Chart]


Block = Table | Grid | Plots | Figures | Bullets | Heading | Verbatim


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its navigation."""

    id: str
    title: str
    lead: str
    """One sentence: what stands here."""
    blocks: Sequence[Block] = field(default_factory=tuple)

    @property
    def charts(self) -> list[Chart]:
        """All of its charts."""
        return [
            chart for block in self.blocks if isinstance(block, Plots) for chart in block.charts
        ]

    @property
    def grids(self) -> list[Grid]:
        """All of its long tables."""
        return [block for block in self.blocks if isinstance(block, Grid)]


def chunks(count: int, most: int) -> Iterable[range]:
    """Runs of at most `most` of `count` columns, as even as can be.

    Examples
    --------
    >>> [list(run) for run in chunks(5, 4)]
    [[0, 1, 2], [3, 4]]
    """
    parts = max(1, -(-count // most))
    size = -(-count // parts)
    return [range(first, min(first + size, count)) for first in range(0, count, max(size, 1))]
