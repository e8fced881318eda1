"""A group whose commands are imported only when they are run: --help and --version stay fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from bulklmm_dask.cli._base import Program


class LazyCommands(MutableMapping[str, click.Command]):
    """Commands by name; each is imported when it is looked up, and not before.

    Parameters
    ----------
    homes : mapping of str to str
        Name of a command -> its object, as ``module:object``.
    """

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._commands: dict[str, click.Command | str] = dict(homes)

    def __getitem__(self, name: str) -> click.Command:
        command = self._commands[name]
        if isinstance(command, str):
            module, _, attribute = command.partition(":")
            command = getattr(import_module(module), attribute)
            assert isinstance(command, click.Command)
            self._commands[name] = command
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __contains__(self, name: object) -> bool:
        return name in self._commands

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


class LazyGroup(Program):
    """The group of commands that are imported when they are run.

    Parameters
    ----------
    lazy : mapping of str to a mapping
        Section of the help -> name of a command -> its object as ``module:object``, and its line in
        the help of the group, which is the command's short help.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, Mapping[str, tuple[str, str]]], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        rows = {name: row for section in lazy.values() for name, row in section.items()}
        self.commands = LazyCommands({name: home for name, (home, _) in rows.items()})
        self.lines = {name: line for name, (_, line) in rows.items()}
        self._sections = {section: list(names) for section, names in lazy.items()}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their lines by section, without importing a command."""
        spacing = max(map(len, self.lines))
        for section, names in self._sections.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:<{spacing}}", self.lines[name]) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, without importing one."""
        names = [name for name in self.lines if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=self.lines[name]) for name in names]
        return commands + click.Command.shell_complete(self, ctx, incomplete)
