"""Tests of one kind of cluster follow each other in one process: they share its daemons."""

import pytest

KINDS = ("kubernetes", "slurm", "ssh")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    for item in items:
        for kind in KINDS:
            if item.get_closest_marker(kind):
                item.add_marker(pytest.mark.xdist_group(kind))
