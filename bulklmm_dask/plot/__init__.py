"""Pictures of results: Dataset or DataFrame in, matplotlib Axes out.

matplotlib is the extra ``plot`` and is imported only when a picture is asked for. Nothing is shown
and no setting of matplotlib is changed; ``ax.figure.savefig(...)`` keeps a picture.
"""

from bulklmm_dask.plot.curves import lod
from bulklmm_dask.plot.likelihood import profile
from bulklmm_dask.plot.maps import eqtl

__all__ = ["eqtl", "lod", "profile"]
