"""Everything read from or written to files: catalogs, scenarios, results."""
