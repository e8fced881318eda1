"""The report of a result: one self-contained HTML page with facts, tables and pictures.

`findings` searches the result, `facts` and `repeat` describe how it was made, `table` and
`pictures` lay out what was found, and `write` puts everything into the templates.
"""

from bulklmm_dask.reporting.write import report

__all__ = ["report"]
