"""LODs along genomes, for pictures."""

import numpy as np
import xarray as xr

MOUSE = [195, 182, 160, 157, 152, 150, 145, 129, 125, 131, 122, 120, 120, 125, 104, 98, 95, 91, 61]


def genome_result(n_traits=3, per_contig=30, lengths=MOUSE, names=None, unit="Mb", seed=0):
    """LODs on the mouse's chromosomes, or others."""
    rng = np.random.default_rng(seed)
    contig = np.repeat(np.arange(len(lengths)), per_contig)
    position = np.concatenate([np.sort(rng.uniform(0, size, per_contig)) for size in lengths])
    lod = rng.exponential(0.4, (contig.size, n_traits)).astype("float32")
    lod[rng.integers(contig.size, size=n_traits), np.arange(n_traits)] += 5
    names = names or [*map(str, range(1, len(lengths))), "X"]
    return xr.Dataset(
        {
            "lod": (("variants", "traits"), lod),
            "h2": ("traits", np.full(n_traits, 0.4)),
            "variant_contig": ("variants", contig),
            "variant_position": ("variants", position, {"units": unit}),
            "contig_id": ("contigs", np.array(names, object)),
        },
        coords={
            "traits": np.array([f"trait{i}" for i in range(n_traits)], object),
            "variants": np.array([f"m{i}" for i in range(contig.size)], object),
            "contigs": np.array(names, object),
        },
    )


TOY = genome_result(2, 12, [80, 60, 50, 40, 20])
GENOME = genome_result()
ONE = genome_result(2, 40, [150], ["7"])
EMPTY = GENOME.assign(lod=GENOME.lod * np.nan)
THOUSANDS = genome_result(3000, 6)
SCAFFOLDS = genome_result(2, 3, [5] * 90, [f"scaffold_{i}" for i in range(90)])
LEVELS = xr.Dataset(
    {"threshold": (("traits", "alpha"), np.array([[3.0, 3.1], [3.2, 3.4], [2.9, 3.0]]))},
    coords={"traits": GENOME.traits.values, "alpha": [0.1, 0.05]},
)
