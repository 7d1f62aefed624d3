"""Looks of the workbook: palette, number formats and the cell styles made of them."""

from __future__ import annotations

from dataclasses import dataclass

from openpyxl.styles import Alignment, Border, Font, PatternFill, Side

NAVY, TEAL, INK, MUTED = "1F3A5F", "2A7F8E", "1B1F24", "66727F"
RULE, BAND, WHITE = "C5CED8", "EDF1F5", "FFFFFF"
INPUT_BLUE, INPUT_FILL = "0000FF", "FFF9DB"
LINK_GREEN = "00703C"
SOLVED, SOLVED_FILL = "4A3B76", "F0EDF7"
GOOD, GOOD_FILL = "1E6B43", "E3F2E8"
BAD, BAD_FILL = "9C2B1F", "FBE7E3"
FAMILY = "Arial"
"""The same widths everywhere: Liberation Sans, where Arial is missing, has Arial's metrics."""

CATEGORY_COLOURS = (
    "1F3A5F", "2A7F8E", "8DB7C2", "C9A227", "B5651D", "7B8794", "8C6A9E", "5E8C61", "B9C4CF",
    "D08C7A", "4F6D7A", "A3B18A", "6D597A",
)  # fmt: skip
"""Series of charts, in order."""

DASH_FOR_ZERO = ';"-"_)'
"""End of the formats below; inputs show their zeros."""
MONEY = '#,##0_);[Red](#,##0);"-"_)'
CENTS = '#,##0.00_);[Red](#,##0.00);"-"_)'
FINE = '#,##0.0000_);[Red](#,##0.0000);"-"_)'
COUNT = '#,##0_);[Red](#,##0);"-"_)'
TENTHS = '#,##0.0_);[Red](#,##0.0);"-"_)'
WITHOUT_ROUNDING = {
    MONEY: '[>=0.5]#,##0_);[<=-0.5][Red](#,##0);"-"_)',
    CENTS: '[>=0.005]#,##0.00_);[<=-0.005][Red](#,##0.00);"-"_)',
    TENTHS: '[>=0.05]#,##0.0_);[<=-0.05][Red](#,##0.0);"-"_)',
}
"""The same formats where nothing is left but rounding: balances that end by subtraction."""
PERCENT = '0.0%_);[Red](0.0%);"-"_)'
PERCENT_FINE = "0.000%_)"
MONTH = "mmm yy_)"
SCIENTIFIC = '0.0E+00_);-0.0E+00_);"-"_)'
TEXT = "General"
PADDED = "General_);General_);General_);@_)"
"""Text above numbers, as far from the edge as they are."""
RIGHT_LOOKS = ("head right", "subhead")
"""Looks that take PADDED where no format is given."""


@dataclass(frozen=True)
class Look:
    """One kind of cell."""

    size: float = 9
    bold: bool = False
    italic: bool = False
    color: str = INK
    fill: str = ""
    align: str = ""
    """left, right, center; blank: by content."""
    indent: int = 0
    wrap: bool = False
    top: bool = False
    """Rule above."""
    bottom: bool = False
    """Rule below."""

    def font(self, larger: float = 0.0) -> Font:
        """Its font, larger by some points."""
        size = self.size + larger
        return Font(name=FAMILY, size=size, bold=self.bold, italic=self.italic, color=self.color)

    def background(self) -> PatternFill:
        """Its fill."""
        return PatternFill("solid", fgColor=self.fill) if self.fill else PatternFill()

    def alignment(self) -> Alignment:
        """Its alignment."""
        return Alignment(
            horizontal=self.align or None,
            vertical="center",
            wrap_text=self.wrap,
            indent=self.indent,
        )

    def border(self) -> Border:
        """Its rules."""
        side = Side(style="thin", color=RULE)
        none = Side()
        return Border(top=side if self.top else none, bottom=side if self.bottom else none)


LOOKS: dict[str, Look] = {
    "text": Look(),
    "wrap": Look(wrap=True, align="left", indent=1),
    "text right": Look(align="right"),
    "text left": Look(align="left", indent=1),
    "note": Look(color=MUTED, italic=True, align="left", indent=1),
    "note wrap": Look(color=MUTED, italic=True, wrap=True, align="left", indent=1),
    "unit": Look(color=MUTED, align="left", indent=1),
    "muted": Look(color=MUTED),
    "number left": Look(bold=True, align="left"),
    "title": Look(size=16, bold=True, color=NAVY),
    "subtitle": Look(size=10, color=MUTED),
    "section": Look(size=11, bold=True, color=NAVY, bottom=True),
    "group": Look(bold=True, color=NAVY, fill=BAND),
    "head": Look(bold=True, color=WHITE, fill=NAVY, align="left", wrap=True),
    "head unit": Look(bold=True, color=WHITE, fill=NAVY, align="left", wrap=True, indent=1),
    "head right": Look(bold=True, color=WHITE, fill=NAVY, align="right", wrap=True),
    "subhead": Look(bold=True, color=NAVY, fill=BAND, align="right"),
    "subhead left": Look(bold=True, color=NAVY, fill=BAND, align="left"),
    "input": Look(color=INPUT_BLUE, fill=INPUT_FILL),
    "solved": Look(color=SOLVED, fill=SOLVED_FILL),
    "calculation": Look(),
    "link": Look(color=LINK_GREEN),
    "total": Look(bold=True, top=True),
    "link right": Look(color=LINK_GREEN, align="right"),
    "link total": Look(bold=True, top=True, color=LINK_GREEN),
    "label": Look(),
    "label wrap": Look(wrap=True, align="left"),
    "label bold": Look(bold=True),
    "label total": Look(bold=True, top=True),
    "unit total": Look(color=MUTED, top=True, align="left", indent=1),
    "flag": Look(bold=True, align="center", color=GOOD),
    "hyperlink": Look(color=TEAL),
    "display": Look(size=20, bold=True, color=NAVY),
    "tile label": Look(size=8.5, color=MUTED, fill=BAND, align="left"),
    "tile": Look(size=15, bold=True, color=NAVY, fill=BAND, align="left"),
    "tile note": Look(size=8, color=MUTED, fill=BAND, align="left"),
    "ask": Look(size=11, color=INK, wrap=True, align="left"),
    "signature": Look(bottom=True),
    "warning": Look(color=BAD, wrap=True, align="left", indent=1),
}


def money_or_count(unit: str, largest: float, *, whole: bool) -> str:
    """Number format for a row of this unit whose largest magnitude is given.

    Examples
    --------
    >>> money_or_count("USD", 5e6, whole=False) == MONEY
    True
    >>> money_or_count("USD/kWh", 0.09, whole=False) == FINE
    True
    """
    if unit == "USD":
        return MONEY
    if unit in ("frac", "share", "1/year"):
        return PERCENT
    if whole:
        return COUNT
    if largest < 1 or unit in ("factor", "years"):
        return FINE
    if largest < 1000:
        return CENTS
    return COUNT
