"""SIGTERM while Python runs a finalizer, whose errors it forgets."""

import os
import signal
import time

import click
import pytest
from click.testing import CliRunner

from bulklmm_dask.cli._base import Command, Program


class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)  # here the signal arrives


@click.group(cls=Program)
def main():
    """A group."""


@main.command(cls=Command)
def wait():
    """Wait for the signal."""
    Finalized()
    time.sleep(20)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_within_a_finalizer_is_not_lost():
    found = CliRunner().invoke(main, ["wait"])
    assert found.exit_code == 143
    assert found.stderr == "\nstopped by SIGTERM\n"
