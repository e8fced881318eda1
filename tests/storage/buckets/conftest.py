"""Buckets in the memory of this process, and the requests that are made."""

from __future__ import annotations

import uuid

import pytest
from studies import study

from bulklmm_dask.storage.places import signs


@pytest.fixture
def bucket():
    """An empty bucket in the memory of this process."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def ds():
    return study(n=30, p=30, m=8)


@pytest.fixture
def requests(monkeypatch):
    """Every request, as its kind and its key."""
    import obstore

    made = []
    for name in (
        "get",
        "get_range",
        "head",
        "put",
        "delete",
        "copy",
        "list",
        "list_with_delimiter",
    ):
        real = getattr(obstore, name)

        def note(client, key=None, *args, name=name, real=real, **options):
            made.append((name, key))
            return real(client, key, *args, **options)

        monkeypatch.setattr(obstore, name, note)
    return made


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def hearts_end(monkeypatch):
    """Who is killed renews no record: 15 seconds later, another test would meet its requests."""
    beating = []

    class Heart(signs.Heart):
        def __init__(self, *args):
            beating.append(self)
            super().__init__(*args)

    monkeypatch.setattr(signs, "Heart", Heart)
    yield
    for heart in beating:
        heart.stop()
