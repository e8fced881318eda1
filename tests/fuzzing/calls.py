"""Public functions on mutated objects: tables, series, arrays and Datasets."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bulklmm_dask as blmm
from fuzzing.kept import peaks, permuted, result, study
from fuzzing.objects import GIVEN, mutate_objects
from fuzzing.readers import COVARIATES, TRAITS, tables
from fuzzing.stores import tried
from fuzzing.subject import Subject


def _call(given: Callable[[], dict[str, Any]], use: Callable[..., object]) -> Subject:
    """A call with objects by name, one of which is mutated."""

    def write(folder: Path) -> None:
        (folder / GIVEN).write_bytes(pickle.dumps(given()))

    def again(folder: Path) -> None:
        use(**pickle.loads((folder / GIVEN).read_bytes()))

    return Subject(write, again, mutate_objects)


def _picture(draw: Callable[..., Any]) -> Callable[..., None]:
    """Draw, lay out and forget a picture."""

    def use(**given: Any) -> None:
        from matplotlib import pyplot as plt

        try:
            draw(**given).figure.canvas.draw()
        finally:
            plt.close("all")

    return use


def _places() -> pd.DataFrame:
    return pd.DataFrame(
        {"trait": [f"trait{i + 1}" for i in range(4)], "contig": ["1", "1", "2", "X"]}
    ).assign(position=[1.0, 2.0, 3.0, 4.0])


def _by_name(text: str) -> pd.DataFrame:
    return pd.read_csv(StringIO(text), index_col=0)


def _of_arrays() -> dict[str, Any]:
    ds = study()
    traits = pd.DataFrame(ds.sample_trait.values, ds.sample_id.values, ds.trait_id.values)
    age = pd.DataFrame({"age": range(20), "sex": ["F", "M"] * 10}, index=ds.sample_id.values)
    return {
        "genotypes": pd.DataFrame(ds.call_dosage.values.T, ds.sample_id.values, ds.variant_id),
        "traits": traits,
        "covariates": age,
        "contigs": ["1"] * 5 + ["2"] * 5,
        "positions": ds.variant_position.values,
        "position_unit": "Mb",
        "alleles": [("A", "G")] * 10,
        "strains": pd.Series(ds.sample_id.values, ds.sample_id.values),
    }


def _of_bare_arrays() -> dict[str, Any]:
    ds = study()
    return {
        "genotypes": ds.call_dosage.values.T,
        "traits": ds.sample_trait.values,
        "covariates": ds.sample_covariate.values,
        "sample_ids": list(ds.sample_id.values),
        "variant_ids": list(ds.variant_id.values),
        "trait_ids": list(ds.trait_id.values),
        "covariate_ids": ["age"],
        "codes": {0.0: 0.0, 1.0: 1.0, 2.0: 2.0, 9.0: None},
        "maximum": 2,
    }


def _of_frames(folder: Path) -> None:
    tables(folder)
    given = {
        "traits": _by_name(TRAITS),
        "covariates": _by_name(COVARIATES),
        "sample_strain": pd.DataFrame({"sample": list("abcdef"), "strain": list("abcdef")}),
        "trait_positions": _places().iloc[:2].assign(trait=["t1", "t2"]),
    }
    (folder / GIVEN).write_bytes(pickle.dumps(given))


def _read_frames(folder: Path) -> None:
    given = pickle.loads((folder / GIVEN).read_bytes())
    blmm.read_csv(given.pop("traits"), folder / "g.csv", variant_map=folder / "m.csv", **given)


def _sound(result: xr.Dataset) -> None:
    """Compute a result; AssertionError where a trait is fitted, but has no finite numbers."""
    fitted = np.isin(result.load()["trait_status"].values, ("ok", "unbounded"))
    for name in ("lod", "max_lod", "h2", "sigma2"):
        if name in result:
            values = result[name].transpose("traits", ...).values[fitted]
            # The variance of numbers above 1e154 is more than a double holds.
            sound = ~np.isnan(values) if name == "sigma2" else np.isfinite(values)
            assert sound.all(), f"{name} of fitted traits is not finite"


def _study() -> dict[str, Any]:
    return {"ds": study()}


def _kernels() -> dict[str, Any]:
    ds = study()
    names = pd.Index(ds.sample_id.values)
    kinship = ds["kinship"].assign_coords({dim: (dim, names) for dim in ds["kinship"].dims})
    groups = pd.get_dummies(pd.Series(list("abcde") * 4, names), dtype=float)
    return {"ds": ds, "additive": kinship.to_pandas(), "cage": groups @ groups.T}


def _scan_kernels(ds: xr.Dataset, **kernels: Any) -> None:
    tried(
        lambda: _sound(blmm.scan(ds, kinship=kernels)),
        lambda: _sound(blmm.scan(ds, kinship=kernels, reml=True)),
    )


def _shares_of_kernels(ds: xr.Dataset, **kernels: Any) -> None:
    blmm.heritability(ds, kinship=kernels).load()


def _result() -> dict[str, Any]:
    return {"result": result()}


def _perm() -> dict[str, Any]:
    return {"perm": permuted()}


def _per_sample() -> dict[str, Any]:
    ds = study()
    names = pd.Index(ds.sample_id.values)
    kinship = ds["kinship"].assign_coords({dim: (dim, names) for dim in ds["kinship"].dims})
    return {
        "weights": pd.Series(range(1, 21), names, dtype=float),
        "kinship": kinship.to_pandas(),
        "condition": pd.Series(["variant1"] * 4, ds.trait_id.values),
        "prior": (1.0, 3.0),
        "covariates": ["covariate1"],
        "statistics": ["beta", "se"],
        "h2_grid": [0.0, 0.5, 0.9],
    }


def _scan_with(**given: Any) -> None:
    grid = given.pop("h2_grid")
    tried(
        lambda: blmm.scan(study(), **given).load(),
        lambda: blmm.scan(study(), method="null-grid", h2_grid=grid).load(),
    )


def _with_arrays() -> dict[str, Any]:
    ds = study()
    return {
        "kinship": ds["kinship"].assign_coords(
            {dim: (dim, ds.sample_id.values) for dim in ds["kinship"].dims}
        ),
        "replicates": ds["sample_id"].copy(data=range(1, 21)).rename("replicates"),
        "strata": list("ab" * 10),
    }


def _permute_with(strata: Any, **given: Any) -> None:
    tried(
        lambda: blmm.permute(study(), n_permutations=3, strata=strata).load(),
        lambda: blmm.heritability(study(), **given).load(),
        lambda: blmm.profile(study(), "trait1", n_points=5, **given),
    )


def _levels() -> dict[str, Any]:
    one = permuted("contig")
    return {
        "series": pd.Series(1.0, result().traits.values),
        "array": blmm.thresholds(one, 0.2, by="contig").threshold,
        "dataset": blmm.thresholds(one, 0.2),
        "number": 1.0,
        "mapping": dict.fromkeys(result().traits.values.tolist(), 1.0),
    }


def _search_from(**levels: Any) -> None:
    tried(
        *(
            lambda level=level: blmm.find_hits(result(), threshold=level)
            for level in levels.values()
        ),
        *(
            lambda level=level: blmm.find_peaks(result(), threshold=level)
            for level in levels.values()
        ),
    )


def _draw_levels(level: Any) -> Any:
    return blmm.plot.lod(result(), ["trait1", "trait2"], threshold=level)


def _adjusted(hits: Any, maxima: Any) -> None:
    tried(
        lambda: blmm.adjusted_p(permuted(), hits),
        lambda: blmm.adjusted_p(permuted("contig"), hits, by="contig"),
        lambda: blmm.trait_fdr(permuted(), maxima),
    )


def _near(trait_positions: Any) -> None:
    given = {"trait_positions": trait_positions, "cis_window": 2.0}
    tried(
        lambda: blmm.find_peaks(result(), threshold=0.3, **given),
        lambda: blmm.find_hits(result(), threshold=0.3, **given),
    )


def _baseline() -> pd.DataFrame:
    return blmm.hotspot_baseline(study(), window=2, threshold=0.3, n_permutations=3)


def _search(result: Any) -> None:
    tried(
        lambda: blmm.max_lod(result),
        lambda: blmm.max_lod(result, by="contig"),
        lambda: blmm.find_hits(result, threshold=1),
        lambda: blmm.find_hits(result, fdr=0.2, top=2),
        lambda: blmm.find_peaks(result, threshold=0.5, peakdrop=0.2, drop=0.1),
        lambda: blmm.lod_interval(result, "trait1", "1"),
        lambda: blmm.bayes_interval(result, "trait1", "2"),
        lambda: blmm.pvalue_counts(result),
    )


def _level(perm: Any) -> None:
    tried(
        lambda: blmm.thresholds(perm, 0.2),
        lambda: blmm.adjusted_p(perm, peaks()),
        lambda: blmm.trait_fdr(perm, blmm.max_lod(result())),
    )


def _level_by_contig(perm: Any) -> None:
    tried(
        lambda: blmm.thresholds(perm, 0.2, by="contig"),
        lambda: blmm.adjusted_p(perm, peaks(), by="contig"),
    )


def _saved(folder: Path) -> None:
    ds = pickle.loads((folder / GIVEN).read_bytes())["ds"]
    blmm.save(ds, folder / "s.zarr")
    blmm.open_dataset(folder / "s.zarr").load()


def _saving() -> Subject:
    written = _call(_study, blmm.save)
    return Subject(written.write, _saved, written.mutate)


def _reported(folder: Path) -> None:
    given = pickle.loads((folder / GIVEN).read_bytes())
    blmm.report(**given, path=folder / "r.html", threshold=1)


def _reporting() -> Subject:
    def given() -> dict[str, Any]:
        return {"result": result(), "study": study(), "perm": permuted()}

    written = _call(given, blmm.report)
    return Subject(written.write, _reported, written.mutate)


def _shares() -> xr.Dataset:
    ds = study()
    groups = np.arange(ds.sizes["samples"]) % 5
    return blmm.heritability(ds, kinship={"additive": "kinship", "group": groups})


def _draw_shares(shares: Any) -> Any:
    blmm.plot.shares(shares, order="traits")
    return blmm.plot.share_pairs(shares)


CALLS: dict[str, Subject] = {
    "create of tables": _call(_of_arrays, blmm.create_dataset),
    "create of arrays": _call(_of_bare_arrays, blmm.create_dataset),
    "read of tables": Subject(_of_frames, _read_frames, mutate_objects),
    "call scan": _call(_study, lambda ds: _sound(blmm.scan(ds))),
    "call scan loco": _call(_study, lambda ds: _sound(blmm.scan(ds, loco=True))),
    "call scan with": _call(_per_sample, _scan_with),
    "call permute": _call(_study, lambda ds: _sound(blmm.permute(ds, n_permutations=3))),
    "call permute with": _call(_with_arrays, _permute_with),
    "call heritability": _call(_study, lambda ds: _sound(blmm.heritability(ds))),
    "call profile": _call(
        _study, lambda ds: blmm.profile(ds, "trait1", variant="variant1", n_points=5)
    ),
    "call kinship": _call(
        _study,
        lambda ds: tried(
            lambda: blmm.kinship(ds).load(),
            lambda: blmm.kinship(ds, method="standardized", loco=True).load(),
        ),
    ),
    "call kernels": _call(
        _study,
        lambda ds: tried(
            lambda: blmm.kinship(ds, method="epistasis-dominance", variants="1").load(),
            lambda: blmm.kinship(ds, method="gaussian", traits=True).load(),
            lambda: blmm.kinship(ds, method="linear", covariates=True).load(),
        ),
    ),
    "call scan kernels": _call(_kernels, _scan_kernels),
    "call heritability kernels": _call(_kernels, _shares_of_kernels),
    "call baseline": _call(
        _study, lambda ds: blmm.hotspot_baseline(ds, window=2, threshold=1, n_permutations=2)
    ),
    "call save": _saving(),
    "call report": _reporting(),
    "search result": _call(_result, _search),
    "search perm": _call(_perm, _level),
    "search perm by contig": _call(lambda: {"perm": permuted("contig")}, _level_by_contig),
    "search from": _call(_levels, _search_from),
    "table hotspots": _call(
        lambda: {"findings": peaks(), "study": study(), "baseline": _baseline()},
        lambda **given: blmm.hotspots(window=2, alpha=0.5, **given),
    ),
    "table hotspots alone": _call(
        lambda: {"findings": peaks()}, lambda findings: blmm.hotspots(findings, window=2)
    ),
    "table adjusted": _call(lambda: {"hits": peaks(), "maxima": blmm.max_lod(result())}, _adjusted),
    "table positions": _call(lambda: {"trait_positions": _places()}, _near),
    "plot eqtl": _call(
        lambda: {"maxima": peaks(), "study": study()},
        _picture(lambda **given: blmm.plot.eqtl(threshold=0.3, **given)),
    ),
    "plot intervals": _call(
        lambda: {"intervals": peaks(), "result": result()},
        _picture(lambda **given: blmm.plot.lod(traits=["trait1", "trait2"], **given)),
    ),
    "plot levels": _call(
        lambda: {"level": blmm.thresholds(permuted("contig"), 0.2, by="contig")},
        _picture(_draw_levels),
    ),
    "plot hotspots": _call(
        lambda: {"counts": blmm.hotspots(peaks(), study(), window=2), "study": study()},
        _picture(blmm.plot.hotspots),
    ),
    "plot qq": _call(lambda: {"counts": blmm.pvalue_counts(result())}, _picture(blmm.plot.qq)),
    "plot heatmap": _call(_result, _picture(blmm.plot.heatmap)),
    "plot manhattan": _call(
        _result, _picture(lambda result: blmm.plot.manhattan(result, "trait1"))
    ),
    "plot shares": _call(lambda: {"shares": _shares()}, _picture(_draw_shares)),
    "plot shares of a table": _call(
        lambda: {
            "shares": _shares()
            .h2.rename(components="component", traits="trait")
            .to_series()
            .reset_index()
        },
        _picture(_draw_shares),
    ),
    "plot kinship": _call(
        lambda: {"kinship": study()["kinship"].assign_coords(samples_0=study().sample_id.values)},
        _picture(blmm.plot.kinship),
    ),
    "plot kinship of study": _call(lambda: {"kinship": study()}, _picture(blmm.plot.kinship)),
    "plot effects": _call(
        lambda: {"study": study()},
        _picture(lambda study: blmm.plot.effects(study, "trait1", "variant1")),
    ),
    "plot permutations": _call(
        _perm, _picture(lambda perm: blmm.plot.permutations(perm, "trait1"))
    ),
    "plot profile": _call(
        lambda: {"values": blmm.profile(study(), "trait1", variant="variant1", n_points=21)},
        _picture(blmm.plot.profile),
    ),
}
