"""The command line, run in this process."""

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
