"""Pictures of results: Dataset or DataFrame in, matplotlib Axes out.

matplotlib is the extra ``plot`` and is imported only when a picture is asked for. Nothing is shown
and no setting of matplotlib is changed; ``save(ax, "picture.pdf")`` keeps a picture, and
``save(ax, "picture.html")`` a page on which it can be zoomed.
"""

from typing import TYPE_CHECKING

from bulklmm_dask._lazy import lazy_names

# Public name -> the module that defines it, which is imported when the name is first used.
_HOMES = {
    "coefficients": "bulklmm_dask.plot.founders",
    "effects": "bulklmm_dask.plot.genotypes",
    "eqtl": "bulklmm_dask.plot.maps",
    "heatmap": "bulklmm_dask.plot.heat",
    "hotspots": "bulklmm_dask.plot.counts",
    "kinship": "bulklmm_dask.plot.relations",
    "lod": "bulklmm_dask.plot.curves",
    "manhattan": "bulklmm_dask.plot.pvalues",
    "miami": "bulklmm_dask.plot.pvalues",
    "permutations": "bulklmm_dask.plot.nulls",
    "profile": "bulklmm_dask.plot.likelihood",
    "qq": "bulklmm_dask.plot.quantiles",
    "save": "bulklmm_dask.plot._files",
    "share_pairs": "bulklmm_dask.plot.components",
    "shares": "bulklmm_dask.plot.components",
}
__all__ = [
    "coefficients",
    "effects",
    "eqtl",
    "heatmap",
    "hotspots",
    "kinship",
    "lod",
    "manhattan",
    "miami",
    "permutations",
    "profile",
    "qq",
    "save",
    "share_pairs",
    "shares",
]

if TYPE_CHECKING:  # the same, for type checkers and editors
    from bulklmm_dask.plot._files import save
    from bulklmm_dask.plot.components import share_pairs, shares
    from bulklmm_dask.plot.counts import hotspots
    from bulklmm_dask.plot.curves import lod
    from bulklmm_dask.plot.founders import coefficients
    from bulklmm_dask.plot.genotypes import effects
    from bulklmm_dask.plot.heat import heatmap
    from bulklmm_dask.plot.likelihood import profile
    from bulklmm_dask.plot.maps import eqtl
    from bulklmm_dask.plot.nulls import permutations
    from bulklmm_dask.plot.pvalues import manhattan, miami
    from bulklmm_dask.plot.quantiles import qq
    from bulklmm_dask.plot.relations import kinship
else:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
