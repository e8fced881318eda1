"""Pictures of results: Dataset or DataFrame in, matplotlib Axes out.

matplotlib is the extra ``plot`` and is imported only when a picture is asked for. Nothing is shown
and no setting of matplotlib is changed; ``ax.figure.savefig(...)`` keeps a picture.
"""

from bulklmm_dask.plot.counts import hotspots
from bulklmm_dask.plot.curves import lod
from bulklmm_dask.plot.genotypes import effects
from bulklmm_dask.plot.heat import heatmap
from bulklmm_dask.plot.likelihood import profile
from bulklmm_dask.plot.maps import eqtl
from bulklmm_dask.plot.nulls import permutations
from bulklmm_dask.plot.pvalues import manhattan, qq
from bulklmm_dask.plot.relations import kinship

__all__ = [
    "effects",
    "eqtl",
    "heatmap",
    "hotspots",
    "kinship",
    "lod",
    "manhattan",
    "permutations",
    "profile",
    "qq",
]
