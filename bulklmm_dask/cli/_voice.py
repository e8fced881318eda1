"""What a command says: results on standard output, words on standard error, or one JSON object."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import click

from bulklmm_dask.text import printable

_PROGRAM = "bulklmm"
# Keys of ctx.meta, which all contexts of a call share.
QUIET, JSON = "bulklmm_dask.quiet", "bulklmm_dask.json"
_VOICE, _NAME = "bulklmm_dask.voice", "bulklmm_dask.name"


@dataclass
class Voice:
    """How the command that runs speaks, and what it has done.

    Attributes
    ----------
    command : str
        Its name.
    quiet : bool
        Whether nothing but errors goes to standard error.
    as_json : bool
        Whether standard output gets one object at the end, and nothing else.
    facts : dict
        What was done, by name, for the object.
    files : list of str
        Files and stores that were written.
    notes : list of str
        Notes that were said.
    given : bool
        Whether the object was given already.
    """

    command: str | None
    quiet: bool = False
    as_json: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    given: bool = False
    started: float = field(default_factory=time.monotonic)

    def object(self) -> dict[str, Any]:
        """What was done, as the object of ``--json``."""
        told = {"command": self.command, **self.facts, "files": self.files, "notes": self.notes}
        return told | {"seconds": round(time.monotonic() - self.started, 3)}


# Warnings of tasks come from other threads, which have no context of click.
_voices: list[Voice] = []


@contextmanager
def speaking(ctx: click.Context) -> Iterator[Voice]:
    """Let the functions of this module speak as the options of a command ask."""
    voice = Voice(ctx.meta.get(_NAME), bool(ctx.meta.get(QUIET)), bool(ctx.meta.get(JSON)))
    ctx.meta[_VOICE] = voice
    _voices.append(voice)
    try:
        yield voice
    finally:
        _voices.pop()


def begin(ctx: click.Context) -> None:
    """Note the words of the command that is called, such as plot lod."""
    words, above = list[str](), ctx
    while above.parent is not None and above.command.name != _PROGRAM:  # which may be below dask
        words.insert(0, str(above.info_name))
        above = above.parent
    ctx.meta[_NAME] = " ".join(words)


def asks_for_json(words: list[str]) -> bool:
    """Tell whether --json is among the words of a call, which may be wrong otherwise."""
    return "--json" in words[: words.index("--") if "--" in words else None]


def is_quiet() -> bool:
    """Tell whether only errors are said."""
    return bool(_voices) and _voices[-1].quiet


def is_json() -> bool:
    """Tell whether standard output gets one object at the end."""
    return bool(_voices) and _voices[-1].as_json


def say(message: str) -> None:
    """Write a message to standard error, unless --quiet is given."""
    if not is_quiet():
        complain(message)


def complain(message: str) -> None:
    """Write an error to standard error, also with --quiet."""
    click.echo(printable(message, lines=True), err=True)


def note(message: str) -> None:
    """Say that something was dropped, filled in or reinterpreted."""
    if _voices:
        _voices[-1].notes.append(message)
    say(f"note: {message}")


def show(text: str) -> None:
    """Write a result to standard output, control characters of names as escapes.

    With --json it is left to the object, to which `did` adds the same as numbers.
    """
    if not is_json():
        click.echo(printable(text, lines=True))


def did(**facts: Any) -> None:
    """Add what was done to the object of --json."""
    if _voices:
        _voices[-1].facts.update(facts)


def wrote(path: object) -> None:
    """Add a file or a store to those that the object of --json names."""
    if _voices:
        _voices[-1].files.append(str(path))


def give_object() -> None:
    """Write the object of --json to standard output, on one line; nothing without --json."""
    if is_json():
        _voices[-1].given = True
        _write(_voices[-1].object())


def give_error(ctx: click.Context, words: str) -> None:
    """Write the object of a command that failed, with `error`; nothing without --json."""
    if not ctx.meta.get(JSON):
        return
    voice = ctx.meta.get(_VOICE) or Voice(ctx.meta.get(_NAME))
    with suppress(OSError):  # the error may be that of standard output
        _write(voice.object() | {"error": printable(" ".join(words.split()))})


def _write(told: dict[str, Any]) -> None:
    click.echo(json.dumps(_as_json(told)))


def _as_json(value: Any) -> Any:
    """Give a value as JSON has it: null for what is not finite, numbers as in tables."""
    if isinstance(value, dict):
        return {str(name): _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # of NumPy
        return _as_json(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def keep(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        ctx.meta[name] = value

    return keep


def voice_options() -> Iterator[click.Option]:
    """Options that every command has."""
    rows = {
        "--quiet": (QUIET, "Say nothing but errors."),
        "--json": (
            JSON,
            "Print one JSON object instead: what was done, counts, files, notes and seconds.",
        ),
    }
    for flag, (key, text) in rows.items():
        yield click.Option([flag], is_flag=True, expose_value=False, callback=_set(key), help=text)
    yield version_option()


def version_option() -> click.Option:
    """The option --version, which names this program also below ``dask``."""

    def show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            from bulklmm_dask._version import __version__

            click.echo(f"{_PROGRAM}, version {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show_version,
        help="Show the version and exit.",
    )
