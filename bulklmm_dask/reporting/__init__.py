"""A result as one page of HTML that needs nothing else: facts, tables, pictures, how to repeat it.

What is found in the result (`findings`), how the scan was made (`facts`, `repeat`), pictures
(`pictures`) and the table (`table`) are put into the templates by `write`.
"""

from bulklmm_dask.reporting.write import report

__all__ = ["report"]
