"""The directive ``formats``: the table of all formats, from the registry that the commands use."""

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from bulklmm_dask.study.readers.registry import markdown_rows


class Formats(Directive):
    """One row a format: what it reads, its function and its options."""

    def run(self) -> list[nodes.Node]:
        """Parse the rows as the Markdown that they are."""
        holder = nodes.container()
        self.state.nested_parse(StringList(markdown_rows()), self.content_offset, holder)
        return holder.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("formats", Formats)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
