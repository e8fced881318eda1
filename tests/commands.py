"""The command line, run in this process."""

import click
from click.testing import CliRunner

from bulklmm_dask.cli import main

SMALL = ["--traits", "12", "--samples", "40", "--strains", "20", "--variants", "90"]


def run(*arguments, code=0):
    """Run a command; the exit code must be as said, and errors must be one line."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code == 1:
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ")
    return result


def every_command(group=main, *names):
    """Every command that is no group, with the words of its name."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from every_command(command, *names, name)
        else:
            yield (*names, name), command


def flags_of(command):
    """Every spelling of every option of a command."""
    every = command.get_params(click.Context(command))
    return {flag for one in every for flag in (*one.opts, *one.secondary_opts)}
