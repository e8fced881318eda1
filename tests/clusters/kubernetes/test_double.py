"""The double itself: what clients rely on."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dask_kubernetes")

from clusters.kubernetes import names
from clusters.kubernetes.conftest import ROOT
from clusters.kubernetes.containers import expanded, moved
from clusters.kubernetes.kinds import BUILT_IN
from clusters.kubernetes.objects import Objects, RefusedError
from clusters.kubernetes.patches import merge, patched
from clusters.kubernetes.selectors import selected

SECRET = next(kind for kind in BUILT_IN if kind.plural == "secrets")


@pytest.fixture
def objects() -> Objects:
    return Objects()


def made(objects: Objects, name: str, **meta: object) -> dict:
    return objects.create(SECRET, "default", {"metadata": {"name": name, **meta}})


def test_a_change_raises_the_version_and_no_change_keeps_it(objects):
    first = made(objects, "a")
    key = ("secrets", "default", "a")
    assert objects.change(key, lambda item: item) is first
    second = objects.change(key, lambda item: {**item, "data": {"x": "1"}})
    versions = [int(each["metadata"]["resourceVersion"]) for each in (first, second)]
    assert versions[0] < versions[1] == int(objects.version)


def test_one_name_is_given_once(objects):
    made(objects, "a")
    with pytest.raises(RefusedError, match="already exists") as caught:
        made(objects, "a")
    assert caught.value.code == 409


def test_finalizers_delay_the_end(objects):
    made(objects, "a", finalizers=["x"])
    objects.delete("secrets", "default", "a")
    assert "deletionTimestamp" in objects.get("secrets", "default", "a")["metadata"]

    def without(item: dict) -> dict:
        return {**item, "metadata": {**item["metadata"], "finalizers": []}}

    objects.change(("secrets", "default", "a"), without)
    assert objects.find("secrets", "default", "a") is None


def test_what_is_owned_goes_with_its_owner(objects):
    owner = made(objects, "a")
    reference = {"uid": owner["metadata"]["uid"]}
    made(objects, "b", ownerReferences=[reference])
    made(objects, "c")
    objects.delete("secrets", "default", "a")
    assert [item["metadata"]["name"] for item in objects.all("secrets")] == ["c"]
    made(objects, "d", ownerReferences=[reference])  # too late
    assert objects.find("secrets", "default", "d") is None


def test_a_watch_replays_what_was_missed(objects):
    made(objects, "a")
    seen = int(objects.version)
    made(objects, "b")
    objects.delete("secrets", "default", "a")

    async def watched() -> list[tuple[str, str]]:
        found = []
        async for change, item in objects.watch("secrets", seen, lambda item: True):
            found.append((change, item["metadata"]["name"]))
            if len(found) == 2:
                return found
        return found

    assert asyncio.run(watched()) == [("ADDED", "b"), ("DELETED", "a")]


def test_patches():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": [3]}}) == {"a": {"c": 2, "d": [3]}}
    operations = [
        {"op": "test", "path": "/version", "value": "1"},
        {"op": "add", "path": "/x", "value": 2},
    ]
    assert patched({"version": "1"}, operations, "application/json-patch+json")["x"] == 2
    with pytest.raises(RefusedError) as caught:
        patched({"version": "3"}, operations, "application/json-patch+json")
    assert caught.value.code == 422
    with pytest.raises(RefusedError, match="apply-patch"):
        patched({}, {}, "application/apply-patch+yaml")


def test_selectors():
    item = {"metadata": {"name": "a", "labels": {"x": "1"}}, "status": {"phase": "Running"}}
    for labels, fields, wanted in [
        ("", "", True),
        ("x=1", "metadata.name=a,", True),
        ("x==1", "status.phase=Running,status.phase=Running", True),
        ("x=2", "", False),
        ("y=1", "", False),
        ("", "metadata.name=b", False),
    ]:
        assert selected(labels, fields)(item) is wanted
    with pytest.raises(RefusedError, match="x!=1"):
        selected("x!=1", "")


def test_words_of_containers():
    assert expanded("tcp://$(HOST):1 $(NONE) $x", {"HOST": "a"}) == "tcp://a:1 $(NONE) $x"
    mounts = {"/data": Path("/claims/one")}
    assert [moved(text, mounts) for text in ("/data/x", "/data", "/database", "x")] == [
        "/claims/one/x", "/claims/one", "/database", "x"
    ]  # fmt: skip


def test_a_process_of_a_pod_has_its_address_and_names(tmp_path):
    """It listens there in place of everywhere, and knows services by name."""
    known = tmp_path / "names.json"
    known.write_text(json.dumps({"one.default": "127.9.8.7"}))
    code = (
        "import socket; from clusters.kubernetes.names import enter; enter()\n"
        "from distributed.utils import get_ip\n"
        "s = socket.socket(); s.bind(('', 0)); print(s.getsockname()[0])\n"
        "t = socket.socket(); t.bind(('', 8787)); t.listen(); print(t.getsockname()[1])\n"
        "socket.create_connection(('127.9.8.6', 8787)).close()\n"
        "print(socket.getaddrinfo('one.default', 80)[0][4][0], socket.gethostname(), get_ip())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "tests"), **names.environment("127.9.8.6", "pod", known)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["127.9.8.6", "28787", "127.9.8.7", "pod", "127.9.8.6"]
    assert socket.gethostname() != "pod"
