"""Messages name arguments in Python and options in a command."""

import ast
import re
from pathlib import Path

import pytest
from commands import every_command, flags_of

import bulklmm_dask as blmm
from bulklmm_dask.analyses.options import PERMUTE, SCAN
from bulklmm_dask.errors import InputError
from bulklmm_dask.study.readers.registry import READERS
from bulklmm_dask.surface import command_line, either, function, option, repeat

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


ROOT = Path(blmm.__file__).parent
COMMANDS = {" ".join(names): command for names, command in every_command()}
FLAGS = {flag for command in COMMANDS.values() for flag in flags_of(command)}


def words_of_the_surface():
    """Every call of option, function and either in the package whose words stand in the source."""
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text()
        if "bulklmm_dask.surface import" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield path.relative_to(ROOT), node.func.id, node.args


CALLS = list(words_of_the_surface())
LITERAL = sorted(
    {
        (str(path), name, args[0].value)
        for path, name, args in CALLS
        if name in ("option", "function") and isinstance(args[0], ast.Constant)
    }
)


@pytest.mark.parametrize(
    ("path", "argument"), [(path, value) for path, name, value in LITERAL if name == "option"]
)
def test_every_option_of_a_message_is_a_flag(path, argument):
    known = flags_of(COMMANDS["import"]) if path.startswith("study/readers") else FLAGS
    with command_line():
        assert option(argument) in known


@pytest.mark.parametrize(
    ("path", "name"), [(path, value) for path, name, value in LITERAL if name == "function"]
)
def test_every_function_of_a_message_is_public_and_has_a_command(path, name):
    assert name in blmm.__all__, path
    with command_line():
        command, *arguments = function(name).strip("'").removeprefix("bulklmm ").split()
    assert command in COMMANDS
    assert set(arguments) <= READERS.keys()


def test_words_for_commands_name_flags_and_commands_that_exist():
    texts = [
        node.value
        for _, name, args in CALLS
        if name == "either"
        for node in ast.walk(args[1])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(texts) > 20
    assert {flag for text in texts for flag in re.findall(r"--[a-z][a-z0-9-]*", text)} <= FLAGS
    named = {name for text in texts for name in re.findall(r"'bulklmm ([a-z]+)", text)}
    assert named <= COMMANDS.keys()


def test_a_function_is_named_by_its_command():
    assert function("max_lod") == "bulklmm_dask.max_lod"
    assert repeat() == "make the same call again"
    with command_line():
        assert function("max_lod") == "'bulklmm maxima'"
        assert repeat() == "run the command that made it again"
