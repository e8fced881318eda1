"""The directive ``commands``: a section for every command with its ``--help``."""

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from bulklmm_dask.cli import main

_WIDTH = 76  # columns of the block in the theme


class Commands(Directive):
    """Every command of ``bulklmm``, those of a group under it."""

    def run(self) -> list[nodes.Node]:
        """One section for each, in the order of ``bulklmm --help``."""
        return _sections(main, _context(main, "bulklmm", None))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    size = {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    settings = command.context_settings | size
    return click.Context(command, info_name=name, parent=parent, **settings)


def _sections(group: click.Group, context: click.Context) -> list[nodes.Node]:
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        here = _context(command, name, context)
        title = here.command_path
        section = nodes.section(ids=[title.replace(" ", "-")], names=[title])
        section += nodes.title(text=title)
        section += nodes.literal_block(text=command.get_help(here), language="text")
        if isinstance(command, click.Group):
            section.extend(_sections(command, here))
        found.append(section)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
