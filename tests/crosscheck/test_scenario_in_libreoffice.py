"""A scenario workbook that another spreadsheet program has opened and saved is still the same."""

import shutil
import subprocess

import pytest

from planner.files.catalog import load_catalog
from planner.files.excel_write import write_workbook
from planner.files.scenario import load_scenario, packaged_names, written

OFFICE = shutil.which("soffice")


@pytest.mark.slow
@pytest.mark.skipif(OFFICE is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("name", packaged_names())
def test_saved_by_libreoffice(name, tmp_path):
    scenario = load_scenario(name)
    path = tmp_path / "in" / f"{name}.xlsx"
    write_workbook(path, written(scenario), load_catalog())
    subprocess.run(
        [OFFICE, "--headless", f"-env:UserInstallation=file://{tmp_path}/office",
         "--convert-to", "xlsx", "--outdir", str(tmp_path / "out"), str(path)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    assert load_scenario(tmp_path / "out" / path.name) == scenario
