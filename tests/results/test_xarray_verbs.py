"""What xarray makes of a result is taken by every function, and gives the same answers."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from verbs import CHOOSE, KEEP, cases, drawn, parted, parts_of

import bulklmm_dask as blmm


@pytest.fixture(scope="module")
def ds():
    study = blmm.simulate_study(
        n_samples=60, n_strains=None, n_variants=40, n_traits=9, n_contigs=3, seed=4
    )
    study["kinship"] = blmm.kinship(study).compute()
    return study


OPTIONS = {
    "statistics": ["beta", "se", "neg_log10_p", "perfect_fit"],
    "chunks": {"variants": 20, "traits": 4},
}


@pytest.fixture(scope="module")
def result(ds, tmp_path_factory):
    return blmm.scan(ds, **OPTIONS, store=tmp_path_factory.mktemp("scan") / "r.zarr")


@pytest.fixture(scope="module")
def answers(ds, result, tmp_path_factory):
    """What each function says of the result, and what each picture shows of it."""
    folder = tmp_path_factory.mktemp("answers")
    found = {name: find(result, ds, folder) for name, find in (TABLES | OF_ALL).items()}
    return found | {name: drawn(draw(result, ds)) for name, draw in PICTURES.items()}


@pytest.fixture(scope="module")
def perm(ds):
    return blmm.permute(ds, n_permutations=50, by="contig", kinship="kinship").compute()


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def saved(result, folder):
    blmm.save(result, folder / "saved.zarr", overwrite=True)
    return blmm.max_lod(blmm.open_result(folder / "saved.zarr"))


# Every public function that takes a result; the last two arguments are the study and a folder.
TABLES = {
    "max_lod": lambda r, ds, folder: blmm.max_lod(r),
    "max_lod by contig": lambda r, ds, folder: blmm.max_lod(r, by="contig"),
    "find_hits": lambda r, ds, folder: blmm.find_hits(r, threshold=1),
    "find_hits of the highest": lambda r, ds, folder: blmm.find_hits(r, top=2),
    "find_peaks": lambda r, ds, folder: blmm.find_peaks(r, threshold=1, drop=1.5),
    "save": lambda r, ds, folder: saved(r, folder),
}
OF_ALL = {
    "pvalue_counts": lambda r, ds, folder: blmm.pvalue_counts(r),
    "find_hits by rate": lambda r, ds, folder: blmm.find_hits(r, fdr=0.2),
    "lod_interval": lambda r, ds, folder: blmm.lod_interval(r, _trait(r), "2"),
    "bayes_interval": lambda r, ds, folder: blmm.bayes_interval(r, _trait(r), "2"),
    "hotspots": lambda r, ds, folder: blmm.hotspots(blmm.max_lod(r), r, window=30),
}
PICTURES = {
    "plot.lod": lambda r, ds: blmm.plot.lod(r, np.ravel(r.trait_id)[:2].tolist()),
    "plot.lod of a contig": lambda r, ds: blmm.plot.lod(r, [_trait(r)], contig="2"),
    "plot.manhattan": lambda r, ds: blmm.plot.manhattan(r, _trait(r)),
    "plot.heatmap": lambda r, ds: blmm.plot.heatmap(r),
    "plot.qq": lambda r, ds: blmm.plot.qq(r),
    "plot.eqtl": lambda r, ds: blmm.plot.eqtl(blmm.max_lod(r), r, threshold=1),
    "plot.hotspots": lambda r, ds: blmm.plot.hotspots(
        blmm.hotspots(blmm.max_lod(r), r, window=30), r
    ),
}


def _trait(result):
    return str(np.ravel(result.trait_id)[0])


def compare(found, expected, name):
    if isinstance(found, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, obj=name)
        return
    assert len(found) == len(expected), name
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, str):
            assert one == other, name
        else:
            np.testing.assert_allclose(one, other, err_msg=name)


WHOLE = KEEP | {"concat of traits": parted("traits"), "concat of variants": parted("variants")}


@pytest.mark.parametrize("verb", cases(WHOLE, "to_zarr"))
def test_the_same_answers(ds, result, answers, verb, tmp_path):
    changed = verb(result, tmp_path)
    for name, find in (TABLES | OF_ALL).items():
        compare(find(changed, ds, tmp_path), answers[name], name)
    for name, draw in PICTURES.items():
        compare(drawn(draw(changed, ds)), answers[name], name)


@pytest.mark.parametrize("verb", cases(WHOLE, "to_zarr"))
def test_the_same_answers_of_a_lazy_scan(ds, answers, verb, tmp_path):
    changed = verb(blmm.scan(ds, **OPTIONS), tmp_path)
    for name in ("max_lod", "find_hits", "save"):
        compare(TABLES[name](changed, ds, tmp_path), answers[name], name)


@pytest.mark.parametrize("verb", cases(CHOOSE, "names"))
def test_the_answers_of_these_traits(ds, result, answers, verb, tmp_path):
    changed = verb(result, tmp_path)
    for name, find in TABLES.items():
        whole = answers[name]
        rows = [whole[whole["trait"] == trait] for trait in changed.traits.values]
        expected = pd.concat(rows, ignore_index=True)
        found = find(changed, ds, tmp_path)
        compare(found.reset_index(drop=True), expected, name)
    for name, draw in PICTURES.items():
        assert drawn(draw(changed, ds)), name
    for name, find in OF_ALL.items():
        assert len(find(changed, ds, tmp_path)) >= 0, name


@pytest.mark.parametrize(
    "verb",
    {
        "mask": lambda r: r.isel(variants=(r.variant_contig_name == "2").values),
        "where": lambda r: r.where(r.variant_contig_name == "2", drop=True),
        "query": lambda r: r.query(variants="variant_contig == 1"),
        "sortby": lambda r: r.sortby("variant_position", ascending=False).isel(
            variants=r.sortby("variant_position", ascending=False).variant_contig_name == "2"
        ),
    }.values(),
    ids=["mask", "where", "query", "sortby"],
)
def test_the_answers_of_one_contig(result, verb):
    chosen = verb(result)
    whole = blmm.max_lod(result, by="contig")
    expected = whole[whole["contig"] == "2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(blmm.max_lod(chosen), expected, check_dtype=False)
    pd.testing.assert_frame_equal(
        blmm.find_hits(chosen, top=1).iloc[:, :5], expected.iloc[:, :5], check_dtype=False
    )
    peaks = blmm.find_peaks(result, threshold=1)
    found = blmm.find_peaks(chosen, threshold=1)
    pd.testing.assert_frame_equal(found, peaks[peaks["contig"] == "2"].reset_index(drop=True))


def test_low_lods_that_were_masked_are_no_hits(result):
    high = result.where(result.lod > 2)
    found, expected = blmm.find_hits(high, threshold=1), blmm.find_hits(result, threshold=2.0000001)
    pd.testing.assert_frame_equal(
        found, expected, check_dtype=False
    )  # where makes numbers of flags


def test_lods_alone_are_a_result_with_its_map(result, tmp_path):
    expected = blmm.find_hits(result, threshold=1)
    found = blmm.find_hits(result.lod.to_dataset(), threshold=1)
    pd.testing.assert_frame_equal(found, expected[found.columns])
    result.lod.to_netcdf(tmp_path / "lod.nc", engine="scipy")
    again = xr.open_dataarray(tmp_path / "lod.nc", engine="scipy").to_dataset(name="lod")
    pd.testing.assert_frame_equal(
        blmm.find_peaks(again, threshold=1), blmm.find_peaks(result, threshold=1)
    )


LAZILY = {
    "one trait": lambda r: r.sel(traits=r.traits.values[3]),
    "one marker": lambda r: r.isel(variants=3),
    "traits": lambda r: r.isel(traits=[1, 3]),
    "concat": lambda r: parted("traits")(r, None).chunk(traits=3),
    "merge": lambda r: xr.merge([r, r.isel(traits=[0])], compat="override", join="left"),
}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("choose", LAZILY.values(), ids=LAZILY)
def test_a_lazy_scan_goes_into_zarr(ds, result, tmp_path, choose, version):
    lazy = choose(blmm.scan(ds, **OPTIONS))
    assert lazy.lod.chunks is not None
    lazy.to_zarr(tmp_path / "x.zarr", zarr_format=version, consolidated=version == 2)
    found = xr.open_zarr(tmp_path / "x.zarr", consolidated=version == 2)
    expected = choose(result)
    assert set(found.variables) == set(expected.variables)
    for name in ("lod", "beta", "h2", "n_samples", "trait_status", "variant_contig_name"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_a_difference_of_lazy_scans_computes_nothing(ds):
    def no_compute(*_, **__):
        raise AssertionError("nothing is to be computed yet")

    with dask.config.set(scheduler=no_compute), xr.set_options(arithmetic_compat="override"):
        first, second = blmm.scan(ds).lod, blmm.scan(ds, reml=True).lod
        both = [
            first - second,
            first.reset_coords(drop=True) - second.reset_coords(drop=True),
        ]
    for difference in both:
        np.testing.assert_array_equal(difference, first.values - second.values)


FIRST = {"compat": "override"}  # the first of what is common, whose encoding stays
SHAPED = {
    "plain": lambda r: r,
    "merge": lambda r: xr.merge([r, r.copy()], **FIRST),
    "merge of parts": lambda r: xr.merge([r, r[["lod"]]], **FIRST),
    "combine_by_coords": lambda r: xr.combine_by_coords(
        [r.isel(traits=[0]), r.isel(traits=[1])], coords="minimal", **FIRST
    ),
    "combine_nested": lambda r: xr.combine_nested(
        [r.isel(traits=[0]), r.isel(traits=[1])], "traits", coords="minimal", **FIRST
    ),
    "concat": lambda r: parted("traits")(r, None).chunk(traits=3),
    "chunk": lambda r: r.chunk(traits=2, variants=16),
    "chunk, then concat": lambda r: parted("traits")(r.chunk(traits=3, variants=16), None),
    "where": lambda r: r.where(r.lod > 1),
    "sortby": lambda r: r.sortby("variant_position"),
    "one trait": lambda r: r.sel(traits=r.traits.values[0]),
    "squeeze": lambda r: r.isel(traits=[2]).squeeze(),
    "groupby": lambda r: r.groupby("variant_contig_name").map(lambda one: one.max("variants")),
}


@pytest.mark.parametrize("verb", SHAPED.values(), ids=SHAPED)
def test_what_xarray_makes_goes_into_zarr_without_a_warning(result, tmp_path, verb):
    changed = verb(result)
    changed.to_zarr(tmp_path / "x.zarr", consolidated=False)
    found = xr.open_zarr(tmp_path / "x.zarr", consolidated=False)
    xr.testing.assert_equal(found.load(), changed.load())


DESCRIBED = {
    "concat": lambda parts: xr.concat(parts, "traits"),
    "combine_by_coords": lambda parts: xr.combine_by_coords(parts, data_vars="minimal"),
    "combine_nested": lambda parts: xr.combine_nested(parts, "traits", combine_attrs="override"),
    "merge": lambda parts: xr.merge(parts, compat="override", join="outer"),
}


@pytest.mark.parametrize("verb", DESCRIBED.values(), ids=DESCRIBED)
def test_what_is_joined_keeps_names_and_units(result, verb):
    joined = verb(parts_of(result, "traits"))
    for name, array in joined.variables.items():
        assert array.attrs == result[name].attrs, name
    assert joined.lod.attrs["long_name"]
    assert {**joined.attrs} == {**result.attrs}


def test_traits_that_a_result_has_not_are_empty(result, tmp_path):
    """Outer joins and reindex fill up with NaN, also codes of contigs and names."""
    more = result.reindex(traits=[*result.traits.values, "other"])
    found = blmm.max_lod(more)
    pd.testing.assert_frame_equal(found.iloc[:-1], blmm.max_lod(result), check_dtype=False)
    assert found.trait.iloc[-1] == "other"
    assert np.isnan(found.lod.iloc[-1])
    assert found.n.iloc[-1] == 0
    pd.testing.assert_frame_equal(
        blmm.find_peaks(more, threshold=1), blmm.find_peaks(result, threshold=1), check_dtype=False
    )
    blmm.save(more, tmp_path / "r.zarr")
    again = blmm.open_result(tmp_path / "r.zarr")
    assert again.trait_contig.values[-1] == -1
    pd.testing.assert_frame_equal(blmm.max_lod(again), found)
    markers = result.reindex(variants=[*result.variants.values, "1:77"])
    said = r"variant_contig is missing for 1 of 41 markers, such as '1:77'.*keep the others"
    for take in (blmm.max_lod, lambda r: blmm.save(r, tmp_path / "m.zarr")):
        with pytest.raises(blmm.InputError, match=said):
            take(markers)
    kept = markers.isel(variants=markers.variant_contig.notnull().values)
    pd.testing.assert_frame_equal(
        blmm.find_hits(kept, threshold=1), blmm.find_hits(result, threshold=1), check_dtype=False
    )


def test_xarray_reduces_and_draws(result):
    trait, lod = _trait(result), result.lod.values
    smooth = result.lod.rolling(variants=3, center=True).mean()
    np.testing.assert_allclose(smooth[1], lod[:3].mean(axis=0), rtol=1e-6)
    pairs = result.lod.coarsen(variants=2).construct(variants=("bin", "marker"))
    np.testing.assert_array_equal(pairs.max("marker"), lod.reshape(-1, 2, lod.shape[1]).max(axis=1))
    frame = result[["lod"]].to_dataframe()
    assert frame.lod.xs(trait, level="traits").max() == lod[:, 0].max()
    counts, _, _ = result.lod.plot.hist(bins=5)
    assert counts.sum() == lod.size
    plt.close("all")
    points = result.sel(traits=trait).plot.scatter(
        x="variant_position", y="lod", hue="variant_contig_name"
    )
    assert points.get_offsets().shape == (result.sizes["variants"], 2)
    plt.close("all")
    assert result.plot.scatter(x="beta", y="lod").get_offsets().shape == (lod.size, 2)
    top = result.lod.groupby("variant_contig").max()
    mesh = top.plot()
    np.testing.assert_array_equal(mesh.get_array().reshape(top.shape), top)
    plt.close("all")
    named = result.lod.groupby("variant_contig_name").max()
    named = named.assign_coords(variant_contig_name=named.variant_contig_name.astype(str))
    assert [one.get_text() for one in named.plot().axes.get_yticklabels()] == ["1", "2", "3"]


LOST = {
    "one trait": (lambda r: r.sel(traits=r.traits.values[0]), r"lost its dimension 'traits'.*list"),
    "one marker": (lambda r: r.isel(variants=0), r"lost its dimension 'variants'.*list"),
    "another dimension": (lambda r: r.expand_dims(strain=2), r"along 'strain' too.*isel\(strain=0"),
    "contigs": (
        lambda r: r.isel(contigs=[1]),
        r"contig.*select (their markers|markers of a contig)",
    ),
    "stack": (
        lambda r: r.stack(pair=("variants", "traits")),
        r"it has 'pair' instead|the index 'pair' is",
    ),
    "rename": (lambda r: r.rename(traits="gene"), r"'traits', it has 'gene' instead; .* by rename"),
    "swap_dims": (lambda r: r.swap_dims(traits="trait_id"), r"'traits', it has 'trait_id' instead"),
    "set_index": (
        lambda r: r.set_index(variants=["variant_contig_name", "variant_position"]),
        r"the index 'variants' is of 2 levels; give plain names",
    ),
    "LODs alone": (lambda r: r.lod, r"the Dataset that scan|not DataArray"),
    "highest": (lambda r: r.max("variants"), r"lost its dimension 'variants'"),
}


@pytest.mark.parametrize(("verb", "message"), LOST.values(), ids=LOST)
def test_what_is_lost_is_said(ds, result, verb, message, tmp_path):
    changed = verb(result)
    for name, find in (TABLES | OF_ALL).items():
        if name not in ("max_lod", "max_lod by contig", "hotspots") or "'traits'" not in message:
            with pytest.raises(blmm.InputError, match=message):
                find(changed, ds, tmp_path)


def test_a_report_of_parts_that_were_joined(ds, result, tmp_path):
    blmm.report(result, tmp_path / "whole.html", study=ds)
    joined = parted("traits")(result, tmp_path)
    blmm.report(joined, tmp_path / "joined.html", study=ds)
    pages = [(tmp_path / name).read_text() for name in ("whole.html", "joined.html")]
    assert abs(len(pages[0]) - len(pages[1])) < 0.01 * len(pages[0])


WHOLE_PERM = {name: verb for name, verb in KEEP.items() if "names" not in name}
WHOLE_PERM |= {"permutations": parted("permutations"), "traits": parted("traits")}


@pytest.mark.parametrize("verb", cases(WHOLE_PERM, "to_zarr"))
def test_the_same_thresholds(ds, perm, verb, tmp_path):
    changed = verb(perm, tmp_path)
    maxima = blmm.max_lod(blmm.scan(ds, kinship="kinship"))
    for by in (None, "contig"):
        found, expected = (blmm.thresholds(each, 0.1, by=by) for each in (changed, perm))
        np.testing.assert_array_equal(found.threshold, expected.threshold)
    for find in (blmm.adjusted_p, blmm.trait_fdr):
        pd.testing.assert_frame_equal(find(changed, maxima), find(perm, maxima))
    trait = str(perm.traits.values[0])
    pictures = [blmm.plot.permutations(each, trait) for each in (changed, perm)]
    compare(drawn(pictures[0]), drawn(pictures[1]), "plot.permutations")
    blmm.save(changed, tmp_path / "p.zarr")
    again = blmm.thresholds(blmm.open_result(tmp_path / "p.zarr"), 0.1)
    np.testing.assert_array_equal(again.threshold, blmm.thresholds(perm, 0.1).threshold)
