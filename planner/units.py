"""Conversions and physical constants: the only home of 1e9, 2**30 and 8760."""

from __future__ import annotations

GIGA = 1e9
TERA = 1e12
MICRO = 1e-6
MILLI = 1e-3
GIB = float(2**30)
MILLION = 1e6
THOUSAND = 1e3

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86_400.0
HOURS_PER_DAY = 24
HOURS_PER_YEAR = 8760.0
MONTHS_PER_YEAR = 12
DAYS_PER_YEAR = 365.0
BITS_PER_BYTE = 8.0
