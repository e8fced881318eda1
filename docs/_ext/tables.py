"""Tables that are made from the package at each build: ``formats`` and ``statistics``."""

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from bulklmm_dask.lmm.statistics import TABLE
from bulklmm_dask.study.readers.registry import markdown_rows


class _Table(Directive):
    def rows(self) -> list[str]:
        """Lines of a Markdown table."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the rows as the Markdown that they are."""
        holder = nodes.container()
        self.state.nested_parse(StringList(self.rows()), self.content_offset, holder)
        return holder.children


class Formats(_Table):
    """One row a format, from the registry that the commands use."""

    def rows(self) -> list[str]:
        """What each reads, its function and its options."""
        return markdown_rows()


class Statistics(_Table):
    """One row a variable, from the table of statistics."""

    def rows(self) -> list[str]:
        """What it is, its unit, what there is one of it for, and whether it has to be asked for."""
        out = [
            "| variable | is | unit | one for every | has to be asked for |",
            "|---|---|---|---|---|",
        ]
        for row in TABLE:
            asked = "yes" if row.asked else ""
            out.append(f"| `{row.name}` | {row.meaning} | {row.unit} | {row.per} | {asked} |")
        return out


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("formats", Formats)
    app.add_directive("statistics", Statistics)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
