"""Shared fixtures: the reference data, where it is present."""

from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of real data with the answers of R/qtl2 and GEMMA; tests skip where it is absent."""
    if not REFERENCE.is_dir():
        pytest.skip(f"the reference data are not here: no folder {REFERENCE}")
    return REFERENCE
