"""Native charts in the workbook's palette, with their values cached beside the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from openpyxl.chart import BarChart, LineChart, ScatterChart
from openpyxl.chart._chart import ChartBase
from openpyxl.chart.data_source import (
    AxDataSource,
    NumData,
    NumDataSource,
    NumRef,
    NumVal,
    StrData,
    StrRef,
    StrVal,
)
from openpyxl.chart.marker import Marker
from openpyxl.chart.series import Series, SeriesLabel, XYSeries
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.chart.text import RichText, Text
from openpyxl.chart.title import Title
from openpyxl.drawing.line import LineProperties
from openpyxl.drawing.spreadsheet_drawing import AnchorMarker, TwoCellAnchor
from openpyxl.drawing.text import (
    CharacterProperties,
    Font,
    Paragraph,
    ParagraphProperties,
    RegularTextRun,
)
from openpyxl.utils import get_column_letter

from planner.report.page import Page, clean
from planner.report.style import CATEGORY_COLOURS, FAMILY, MUTED, NAVY, RULE

_POINT = 100
"""Font sizes in drawings are in hundredths of a point."""
_EMU_PER_POINT = 12_700
_EMU_PER_LETTER = 7 * 9_525
"""A column of width 1 is 7 pixels wide."""


Dash = Literal["dash"] | None


@dataclass(frozen=True)
class Band:
    """A run of cells in a row (or, with `down`, in a column) and what they hold."""

    sheet: str
    row: int
    first_column: int
    last_column: int
    values: Sequence[float | str]
    down: bool = False
    """If so, the run starts at (row, first_column) and is as long as `values`."""

    @property
    def reference(self) -> str:
        """Absolute reference."""
        first = f"${get_column_letter(self.first_column)}${self.row}"
        column, row = self.last_column, self.row
        if self.down:
            column, row = self.first_column, self.row + len(self.values) - 1
        return f"'{self.sheet}'!{first}:${get_column_letter(column)}${row}"

    def numbers(self) -> NumDataSource:
        """As a series' values."""
        points = [NumVal(idx=i, v=repr(float(v))) for i, v in enumerate(self.values)]
        return NumDataSource(
            numRef=NumRef(
                f=self.reference,
                numCache=NumData(pt=points, ptCount=len(points), formatCode="General"),
            )
        )

    def labels(self) -> AxDataSource:
        """As an axis' labels."""
        points = [StrVal(idx=i, v=clean(str(v))) for i, v in enumerate(self.values)]
        return AxDataSource(
            strRef=StrRef(f=self.reference, strCache=StrData(pt=points, ptCount=len(points)))
        )

    def axis_numbers(self) -> AxDataSource:
        """As the horizontal values of a scatter series."""
        return AxDataSource(numRef=self.numbers().numRef)


def stacked_columns(
    title: str, labels: Band, bands: Sequence[tuple[str, Band]], *, gap: int = 55
) -> ChartBase:
    """Columns stacked by series."""
    chart = BarChart()
    chart.type, chart.grouping, chart.overlap, chart.gapWidth = "col", "stacked", 100, gap
    for number, (label, band) in enumerate(bands):
        series = _series(number, label, band)
        series.cat = labels.labels()
        series.graphicalProperties = _fill(CATEGORY_COLOURS[number % len(CATEGORY_COLOURS)])
        series.invertIfNegative = False
        chart.series.append(series)
    return _from_zero(_dressed(chart, title), bands)


def _from_zero(chart: Any, bands: Sequence[tuple[str, Band]]) -> ChartBase:
    """Columns begin at 0, unless some go below: programs would cut off what they share."""
    if all(float(x) >= 0 for _, band in bands for x in band.values):
        chart.y_axis.scaling.min = 0
    assert isinstance(chart, ChartBase)
    return chart


def bars(
    title: str,
    labels: Band,
    bands: Sequence[tuple[str, Band]],
    *,
    overlap: int = 0,
    upright: bool = False,
) -> ChartBase:
    """Bars side by side, the first label on top or left; with overlap 100 series share a line."""
    chart = BarChart()
    chart.type, chart.grouping = "col" if upright else "bar", "clustered"
    chart.overlap, chart.gapWidth = overlap, 45
    for number, (label, band) in enumerate(bands):
        series = _series(number, label, band)
        series.cat = labels.labels()
        series.graphicalProperties = _fill(CATEGORY_COLOURS[number % len(CATEGORY_COLOURS)])
        series.invertIfNegative = False
        chart.series.append(series)
    dressed = _from_zero(_dressed(chart, title), bands)
    if not upright:
        chart.x_axis.scaling.orientation = "maxMin"
    if len(bands) == 1:
        chart.legend = None
    return dressed


def lines(
    title: str, labels: Band, bands: Sequence[tuple[str, Band]], *, number_format: str
) -> ChartBase:
    """One line a series over the same labels; `number_format` may scale, the title says so."""
    chart = LineChart()
    for number, (label, band) in enumerate(bands):
        series = _series(number, label, band)
        series.cat = labels.labels()
        series.smooth = False
        series.graphicalProperties = _stroke(CATEGORY_COLOURS[number], 2.25)
        series.marker = Marker(symbol="none")
        chart.series.append(series)
    dressed = _dressed(chart, title)
    chart.y_axis.number_format = number_format
    axis: Any = chart.x_axis
    axis.tickLblSkip = axis.tickMarkSkip = max(1, len(labels.values) // 8)
    return dressed


@dataclass(frozen=True)
class Curve:
    """A scatter series."""

    label: str
    x: Band
    y: Band
    colour: str
    dash: Dash = None
    marker: bool = False
    """A lone marked point instead of a line."""


def scatter(title: str, curves: Sequence[Curve], *, x_title: str) -> ChartBase:
    """Curves over a numeric axis."""
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 13, "lineMarker"
    for number, curve in enumerate(curves):
        series = XYSeries(idx=number, order=number, tx=SeriesLabel(v=clean(curve.label)))
        series.xVal, series.yVal = curve.x.axis_numbers(), curve.y.numbers()
        series.smooth = False
        series.graphicalProperties = _stroke(curve.colour, 2.25, curve.dash)
        series.marker = Marker(symbol="none")
        if curve.marker:
            series.marker = Marker(symbol="diamond", size=11, spPr=_fill(curve.colour))
            series.graphicalProperties = GraphicalProperties(ln=LineProperties(noFill=True))
        chart.series.append(series)
    dressed = _dressed(chart, title)
    chart.x_axis.title = _title(x_title, 8, bold=False)
    chart.x_axis.majorGridlines = None
    chart.x_axis.number_format = "0.0"
    chart.x_axis.scaling.min = 0
    chart.y_axis.scaling.min = 0
    return dressed


def place(page: Page, chart: object, row: int, *, left: float, width: float, height: int) -> None:
    """Put a chart on a sheet, `left` and `width` in units of column width, `height` in rows."""
    assert isinstance(chart, ChartBase)
    held: Any = chart
    corners = (_corner(page, row, left), _corner(page, row + height, left + width))
    # Held by both corners: programs differ in how wide they draw a column.
    held.anchor = TwoCellAnchor("oneCell", _from=corners[0], to=corners[1])
    page.sheet.add_chart(chart)


def _corner(page: Page, row: int, left: float) -> AnchorMarker:
    column, offset = 1, left
    while offset >= (here := page.sheet.column_dimensions[get_column_letter(column)].width):
        column, offset = column + 1, offset - here
    return AnchorMarker(col=column - 1, colOff=round(offset * _EMU_PER_LETTER), row=row - 1)


def _series(number: int, label: str, band: Band) -> Series:
    return Series(idx=number, order=number, tx=SeriesLabel(v=clean(label)), val=band.numbers())


def _dressed(chart: Any, title: str) -> ChartBase:
    chart.title = _title(title, 10, bold=True)
    chart.legend.position = "b"
    chart.legend.txPr = _text(8, MUTED)
    for axis in (chart.x_axis, chart.y_axis):
        axis.delete = False
        axis.txPr = _text(8, MUTED)
        axis.graphicalProperties = _stroke(RULE, 0.75)
        axis.majorTickMark = "none"
    chart.y_axis.majorGridlines.spPr = _stroke("E4E9EE", 0.5)
    chart.y_axis.number_format = "#,##0"
    chart.y_axis.graphicalProperties = GraphicalProperties(ln=LineProperties(noFill=True))
    chart.x_axis.tickLblPos = "low"
    chart.graphical_properties = GraphicalProperties(ln=LineProperties(noFill=True))
    chart.roundedCorners = False
    chart.display_blanks = "gap"
    assert isinstance(chart, ChartBase)
    return chart


def _fill(colour: str) -> GraphicalProperties:
    return GraphicalProperties(solidFill=colour, ln=LineProperties(noFill=True))


def _stroke(colour: str, points: float, dash: Dash = None) -> GraphicalProperties:
    line = LineProperties(solidFill=colour, w=round(points * _EMU_PER_POINT), prstDash=dash)
    return GraphicalProperties(ln=line)


def _characters(size: float, colour: str, *, bold: bool = False) -> CharacterProperties:
    return CharacterProperties(
        sz=round(size * _POINT), b=bold, solidFill=colour, latin=Font(typeface=FAMILY)
    )


def _text(size: float, colour: str) -> RichText:
    properties = ParagraphProperties(defRPr=_characters(size, colour))
    return RichText(p=[Paragraph(pPr=properties, endParaRPr=_characters(size, colour))])


def _title(text: str, size: float, *, bold: bool) -> Title:
    characters = _characters(size, NAVY if bold else MUTED, bold=bold)
    run = RegularTextRun(rPr=characters, t=clean(text))
    paragraph = Paragraph(pPr=ParagraphProperties(defRPr=characters), r=[run])
    return Title(overlay=False, tx=Text(rich=RichText(p=[paragraph])))
