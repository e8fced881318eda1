"""Formulas as MathML, which every current browser draws by itself: no script and no network.

Sphinx's own renderers need MathJax from a network, or LaTeX on the building machine. docutils,
which Sphinx is built on, translates TeX to MathML; this module passes formulas to it.
"""

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import wrap_displaymath

_log = logging.getLogger(__name__)


def _markup(node: nodes.Element, *, block: bool) -> str:
    tex = node.astext()
    if block and "\\\\" in tex and "\\begin{" not in tex:
        tex = wrap_displaymath(tex, None, False)
    try:
        return latex2mathml.tex2mathml(tex, as_block=block)
    except MathError as error:
        _log.warning("the formula %r cannot be translated: %s", tex, error, location=node)
        return tex


def _inline(translator, node) -> None:
    translator.body.append(_markup(node, block=False))
    raise nodes.SkipNode


def _display(translator, node) -> None:
    translator.body.append(f'<div class="formula">{_markup(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name mathml."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
