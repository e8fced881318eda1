"""Messages name arguments in Python and options in a command."""

import pytest

from bulklmm_dask.analyses.options import PERMUTE, SCAN
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers.registry import READERS
from bulklmm_dask.surface import command_line, either, option

FLAG_OF = {
    argument: flag for reader in READERS.values() for flag, argument in reader.options.items()
} | {row.name: row.flag for row in (*SCAN, *PERMUTE)}


@pytest.mark.parametrize("argument", sorted(FLAG_OF))
def test_every_argument_of_a_command_has_its_flag_in_messages(argument):
    assert option(argument) == argument
    with command_line():
        assert option(argument) == FLAG_OF[argument]
    assert option(argument) == argument


def test_values_are_written_as_the_surface_writes_them():
    def shown():
        return option("loco", True), option("maximum", 1), option("method", "alt-exact")

    assert shown() == ("loco=True", "maximum=1", "method='alt-exact'")
    with command_line():
        assert shown() == ("--loco", "--maximum 1", "--method alt-exact")


def test_the_words_are_those_of_python_again_after_a_command_failed():
    def fail():
        with command_line():
            raise InputError(either("python", "shell"))

    with pytest.raises(InputError, match="shell"):
        fail()
    assert either("python", "shell") == "python"
