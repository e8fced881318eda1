"""Calls that go out together, in threads that are kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from bulklmm_dask.storage.places.together import TOGETHER, at_once, kept_threads


def test_results_come_in_order_and_few_run_at_once():
    lock, now, most = threading.Lock(), 0, 0

    def call(number):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.001 * (number % 3))
        with lock:
            now -= 1
        return number

    assert list(at_once(call, range(50), 4)) == list(range(50))
    assert 1 < most <= 4


def test_calls_within_calls_do_not_wait_for_each_other():
    """All kept threads are taken by calls that make others."""
    begun = threading.Barrier(TOGETHER)

    def outer(number):
        begun.wait(60)
        return sum(at_once(lambda part: number * part, range(3)))

    assert list(at_once(outer, range(TOGETHER))) == [3 * number for number in range(TOGETHER)]


def test_after_an_error_nothing_runs_and_nothing_begins():
    running, begun, lock = 0, [], threading.Lock()

    def call(number):
        nonlocal running
        with lock:
            running += 1
            begun.append(number)
        time.sleep(0.02)
        with lock:
            running -= 1
        if number == 2:
            raise ValueError("2 is refused")

    with pytest.raises(ValueError, match="2 is refused"):
        list(at_once(call, range(100), 5))
    assert running == 0
    assert max(begun) < 20


def test_the_threads_are_kept():
    list(at_once(lambda _: None, range(TOGETHER)))
    before = kept_threads()
    list(at_once(lambda _: None, range(TOGETHER)))
    assert kept_threads() is before


_FORKED = """
import os
from bulklmm_dask.storage.places.together import at_once
assert list(at_once(abs, [-1, -2])) == [1, 2]
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0 if list(at_once(abs, [-3, -4])) == [3, 4] else 5)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_threads_of_its_own():
    command = [sys.executable, "-W", "ignore", "-c", _FORKED]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
