"""Calibrate: measured points of real serving systems, read, scored and fitted."""
