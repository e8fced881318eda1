"""Messages in the words of the surface used: arguments in Python, options on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# Arguments whose flag is not the argument with dashes.
FLAGS = {
    "n_contigs": "--contigs",
    "n_covariates": "--covariates",
    "n_patterns": "--patterns",
    "n_permutations": "--permutations",
    "n_samples": "--samples",
    "n_strains": "--strains",
    "n_traits": "--traits",
    "n_variants": "--variants",
    "phenotypes": "--traits",
    "processes": "--workers",
    "sample_strain": "--strains",
    "variant_map": "--map",
    "variants": "--region",
}

# Functions whose command has another name.
COMMANDS = {
    "allele_probabilities": "probabilities",
    "find_hits": "hits",
    "find_peaks": "peaks",
    "genotype_probabilities": "probabilities",
    "max_lod": "maxima",
    "read_probabilities": "import probabilities",
    "read_rqtl2": "import",
    "open_kinship": "kinship",
    "save_kinship": "kinship",
    "save": "import",
    "snp_probabilities": "snps",
}

_commands = 0  # commands that run in this process


@contextmanager
def command_line() -> Iterator[None]:
    """Let messages name options of commands, in all threads, while a command runs."""
    global _commands
    _commands += 1
    try:
        yield
    finally:
        _commands -= 1


def either(python: str, command: str) -> str:
    """Give the words of the surface that is used."""
    return command if _commands else python


def option(name: str, value: object = None) -> str:
    """Name an option, perhaps with its value.

    >>> option("variant_map"), option("loco", True), option("h2_grid", [0.0, 0.5])
    ('variant_map', 'loco=True', 'h2_grid=[0.0, 0.5]')
    >>> with command_line():
    ...     option("variant_map"), option("loco", True), option("h2_grid", [0.0, 0.5])
    ('--map', '--loco', '--h2-grid 0,0.5')
    """
    flag = FLAGS.get(name, "--" + name.replace("_", "-"))
    if value is None:
        return either(name, flag)
    return either(f"{name}={value!r}", flag if value is True else f"{flag} {_typed(value)}")


def _typed(value: object) -> str:
    """A value as it is typed in a shell: several with commas between."""
    if isinstance(value, list | tuple):
        return ",".join(map(_typed, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def function(name: str) -> str:
    """Name a public function, or the command that does the same.

    >>> function("find_hits")
    'bulklmm_dask.find_hits'
    >>> with command_line():
    ...     function("find_hits")
    "'bulklmm hits'"
    """
    return either(f"bulklmm_dask.{name}", f"'bulklmm {COMMANDS.get(name, name)}'")


def repeat() -> str:
    """Say that the call or the command that made a store should be made again."""
    return either("make the same call again", "run the command that made it again")
