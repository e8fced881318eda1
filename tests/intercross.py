"""A small intercross with an X, both sexes and both directions, written as R/qtl does and read."""

from __future__ import annotations

import numpy as np

import bulklmm_dask as blmm

_PER_CONTIG, _STEP = 4, 15.0


def _gamete(rng, positions):
    """Alleles of one meiosis of a heterozygote, 0 or 1."""
    r = (1 - np.exp(-np.diff(positions) / 50)) / 2
    moved = np.concatenate([[rng.random() < 0.5], rng.random(len(r)) < r])
    return np.cumsum(moved) % 2


def intercross(folder, n=60, seed=1, missing=0.1):
    """An F2 of `n` mice: markers a1.. on 1, b1.. on 2 and x1.. on X, traits t1 and t2.

    t1 depends on the sex and on a2, which is additive; t2 on b3, where the heterozygote is highest.
    """
    rng = np.random.default_rng(seed)
    at = _STEP * np.arange(_PER_CONTIG)
    names = [f"{letter}{j + 1}" for letter in "abx" for j in range(_PER_CONTIG)]
    rows = []
    for i in range(n):
        male, direction = i % 2, (i // 2) % 2
        parts = []
        for letter in "abx":
            one, two = _gamete(rng, at), _gamete(rng, at)
            if letter == "x":
                two = one if male else np.full(_PER_CONTIG, direction)
            parts.append(one + two)
        dosage = np.concatenate(parts)
        t1 = 2 * male + 0.8 * dosage[1] + rng.normal()
        t2 = 1.5 * (dosage[_PER_CONTIG + 2] == 1) + rng.normal()
        calls = np.array(list("AHB"))[dosage]
        calls[rng.random(len(calls)) < missing] = "-"
        rows.append([f"{t1:.3f}", f"{t2:.3f}", f"m{i}", "fm"[male], str(direction), *calls])
    contigs = ["1"] * _PER_CONTIG + ["2"] * _PER_CONTIG + ["X"] * _PER_CONTIG
    head = [
        ["t1", "t2", "id", "sex", "pgm", *names],
        ["", "", "", "", "", *contigs],
        ["", "", "", "", "", *map(str, [*at, *at, *at])],
    ]
    path = folder / "f2.csv"
    path.write_text("\n".join(",".join(row) for row in [*head, *rows]) + "\n")
    return blmm.read_rqtl(path, "f2")
