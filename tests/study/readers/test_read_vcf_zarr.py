"""open_vcf_zarr: stores of both Zarr formats, as vcf2zarr and sgkit lay them out."""

import json
import re
import shutil
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import zarr

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, StudyWarning
from bulklmm_dask.study.readers import vcf_zarr

# variants x samples x copies; the third variant has two alternate alleles, the fourth lies on X,
# where samples b and d have one copy
CALLS = np.array(
    [
        [[0, 0], [0, 1], [1, 1], [-1, -1]],
        [[1, 0], [1, 1], [0, -1], [0, 0]],
        [[0, 2], [1, 2], [0, 1], [0, 0]],
        [[0, 1], [1, -2], [1, 1], [0, -2]],
    ],
    dtype=np.int8,
)
DOSAGES = [[0, 1, 2, np.nan], [1, 2, np.nan, 0], [1, 2, 1, 0], [1, 2, 2, 0]]
TRAITS = pd.DataFrame({"t": [1.0, 2, 3, 4], "u": [4.0, np.nan, 2, 1]}, index=list("abcd"))
SAID = ("1 of 4 variants have no id", "1 of 4 variants have more than one alternate allele")
ARRAYS = {
    "call_genotype": (CALLS, ("variants", "samples", "ploidy")),
    "sample_id": (list("abcd"), ("samples",)),
    "contig_id": (["1", "X"], ("contigs",)),
    "variant_contig": (np.array([0, 0, 0, 1], np.int8), ("variants",)),
    "variant_position": (np.array([10, 20, 30, 5], np.int32), ("variants",)),
    "variant_id": (["rs1", ".", "rs3", "rs4"], ("variants",)),
    "variant_allele": (
        [["A", "G", ""], ["C", "T", ""], ["A", "G", "T"], ["G", "C", ""]],
        ("variants", "alleles"),
    ),
}


def write(path, zarr_format, changes=None, chunks=2):
    """Write a store; `changes` replace arrays, or leave them out where None."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name, entry in (ARRAYS | (changes or {})).items():
        if entry is None:
            continue
        values = np.asarray(entry[0], dtype="T" if isinstance(entry[0], list) else None)
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(min(chunks, len(values)), *values.shape[1:]),
            dimension_names=entry[1] if zarr_format == 3 else None,
            attributes={"_ARRAY_DIMENSIONS": list(entry[1])} if zarr_format == 2 else None,
            fill_value=None,
            config={"write_empty_chunks": True},
        )
        array[...] = values
    return path


def read(*args, said=SAID, **options):
    """Open; each text must have been said, and nothing else."""
    with pytest.warns(StudyWarning) as found:
        ds = blmm.open_vcf_zarr(*args, **({"traits": TRAITS} | options))
    for text, warning in zip(said, found, strict=True):
        assert text in str(warning.message)
    return ds


@pytest.fixture(params=[2, 3])
def store(tmp_path, request):
    return write(tmp_path / "s.vcz", request.param)


def test_a_store(store):
    ds = read(store)
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    assert ds["call_dosage"].chunks is not None
    assert ds["call_dosage"].attrs["maximum"] == 2
    assert list(ds["variant_id"].values) == ["rs1", "1:20", "rs3", "rs4"]
    assert ds["variant_allele"].values.tolist() == [
        ["A", "G"], ["C", "T"], ["A", "G,T"], ["G", "C"],
    ]  # fmt: skip
    assert ds["variant_position"].values.tolist() == [10, 20, 30, 5]
    assert ds["variant_position"].attrs["units"] == "bp"
    assert list(ds["contig_id"].values) == ["1", "X"]
    np.testing.assert_array_equal(ds["sample_trait"], TRAITS)


def test_traits_in_another_order_from_a_file(store, tmp_path):
    table = TRAITS.loc[["d", "a", "c"]].assign(age=[5, 6, 7])
    table.to_csv(tmp_path / "t.csv")
    said = (*SAID, "1 of 4 samples with genotypes have no traits and are dropped: 'b'")
    ds = read(store, traits=tmp_path / "t.csv", covariates=["age"], said=said)
    np.testing.assert_array_equal(ds["call_dosage"], np.array(DOSAGES)[:, [3, 0, 2]])
    assert ds["sample_covariate"].values[:, 0].tolist() == [5, 6, 7]


def test_samples_that_are_strains(store):
    traits = pd.DataFrame({"t": np.arange(6.0), "line": list("aabbcd")}, index=list("uvwxyz"))
    ds = read(store, traits=traits, sample_strain="line")
    np.testing.assert_array_equal(ds["call_dosage"], np.array(DOSAGES)[:, [0, 0, 1, 1, 2, 3]])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_dosages_are_taken_first(tmp_path, zarr_format, dims):
    values = np.array([[0.1, 2, np.nan, 0], [0, 0, 0, 1], [1, 1, 1, 1], [2, 2, 2, 0]], np.float32)
    array = values
    if dims == 3:  # one number for each of two alternate alleles, of which most variants lack one
        array = np.stack([values, np.full_like(values, np.nan)], axis=2)
        array[2] = 0.5
    names = ("variants", "samples", "alt_alleles")[:dims]
    path = write(tmp_path / "s", zarr_format, {"call_DS": (array, names)})
    ds = read(path, said=["has call_DS and call_genotype: dosages are those of call_DS", *SAID])
    np.testing.assert_array_equal(ds["call_dosage"], values)
    chosen = read(path, field="call_genotype")
    np.testing.assert_array_equal(chosen["call_dosage"], DOSAGES)
    only = write(tmp_path / "t", zarr_format, {"call_dosage": (values, names[:2]),
                                               "call_genotype": None})  # fmt: skip
    np.testing.assert_array_equal(read(only)["call_dosage"], values)


def test_haploid_and_polyploid_calls(tmp_path):
    one = write(
        tmp_path / "one", 3, {"call_genotype": (CALLS[:, :, :1], ARRAYS["call_genotype"][1])}
    )
    ds = read(one)
    assert ds["call_dosage"].attrs["maximum"] == 1
    np.testing.assert_array_equal(ds["call_dosage"][0], [0, 0, 1, np.nan])
    four = np.concatenate([CALLS, CALLS], axis=2)
    path = write(tmp_path / "four", 2, {"call_genotype": (four, ARRAYS["call_genotype"][1])})
    ds = read(path, said=["dosages of 4 copies are scaled to 0..2", *SAID])
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)


def test_ids_may_be_absent(tmp_path):
    ds = read(write(tmp_path / "s", 2, {"variant_id": None}), said=["4 of 4", SAID[1]])
    assert list(ds["variant_id"].values) == ["1:10", "1:20", "1:30", "X:5"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_of_vcf2zarr(tmp_path, zarr_format, capfd):
    vcf = pytest.importorskip("bio2zarr.vcf", reason="bio2zarr is not installed")
    pytest.importorskip("cyvcf2", reason="cyvcf2 is not installed")
    rows = (
        "1 10 rs1 A G . PASS . GT 0/0 0/1 1/1 ./.",
        "1 20 . C T . PASS . GT 1|0 1|1 0|. 0|0",
        "1 30 rs3 A G,T . PASS . GT 0/2 1/2 0/1 0/0",
        "1 40 rs4 G C . PASS . GT 0/1 1 1/1 0",
    )
    lines = [
        "##fileformat=VCFv4.3",
        "##contig=<ID=1,length=1000>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT a b c d".replace(" ", "\t"),
        *(row.replace(" ", "\t") for row in rows),
    ]
    (tmp_path / "x.vcf").write_text("\n".join(lines) + "\n")
    vcf.convert(
        [tmp_path / "x.vcf"], tmp_path / "x.vcz", variants_chunk_size=2, zarr_format=zarr_format
    )
    ds = read(tmp_path / "x.vcz")
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    assert list(ds["variant_id"].values) == ["rs1", "1:20", "rs3", "rs4"]
    assert ds["variant_allele"].values[2].tolist() == ["A", "G,T"]


@pytest.mark.slow
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_save_streams(tmp_path, zarr_format, monkeypatch):
    n, p, chunk = 1000, 10_000, 700  # 40 MB as float32
    rng = np.random.default_rng(0)
    calls = rng.integers(0, 2, (p, n, 2), dtype=np.int8)
    path = write(
        tmp_path / "big", zarr_format,
        {
            "call_genotype": (calls, ARRAYS["call_genotype"][1]),
            "sample_id": ([f"s{i}" for i in range(n)], ("samples",)),
            "variant_id": None,
            "variant_contig": (np.zeros(p, np.int8), ("variants",)),
            "variant_position": (np.arange(p), ("variants",)),
            "variant_allele": ([["A", "C"]] * p, ("variants", "alleles")),
        },
        chunks=chunk,
    )  # fmt: skip
    reads = []
    whole = vcf_zarr.Calls.read
    monkeypatch.setattr(
        vcf_zarr.Calls, "read", lambda self, a, b: reads.append((a, b)) or whole(self, a, b)
    )
    traits = pd.DataFrame({"t": np.arange(n)}, index=[f"s{i}" for i in range(n)])
    ds = read(path, traits=traits, said=["have no id"])
    tracemalloc.start()
    blmm.save(ds, tmp_path / "out.zarr")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(a % chunk == 0 for a, _ in reads)
    assert sum(b - a for a, b in reads) == p
    assert peak < 120e6
    back = blmm.open_dataset(tmp_path / "out.zarr")
    np.testing.assert_array_equal(back["call_dosage"], calls.sum(axis=2))


def damage(folder, name, cut=-9):
    """Cut the last chunk of an array short."""
    chunk = last_chunk(folder, name)
    chunk.write_bytes(chunk.read_bytes()[:cut])


@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
@pytest.mark.parametrize("cut", [-1, -9, 5])
def test_chunks_cut_short(store, tmp_path, cut):
    damage(store, "call_genotype", cut)
    with pytest.raises(InputError, match=r"call_genotype.* (is cut short|cannot be read)"):
        blmm.save(blmm.open_vcf_zarr(store, traits=TRAITS), tmp_path / "out.zarr")
    assert not list(tmp_path.glob("*out.zarr*"))
    damage(store, "variant_position", cut)
    with pytest.raises(InputError, match=r"(variant_position|call_genotype).* is cut short|cannot"):
        blmm.open_vcf_zarr(store, traits=TRAITS)


@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_a_chunk_damaged_while_it_is_used(store, tmp_path):
    ds = blmm.open_vcf_zarr(store, traits=TRAITS)
    damage(store, "call_genotype", 5)
    with pytest.raises(InputError, match=r"s.vcz: call_genotype, variants 1 to 4 cannot be read"):
        blmm.save(ds, tmp_path / "out.zarr")
    assert not list(tmp_path.glob("*out.zarr*"))


@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_shards(tmp_path):
    path = write(tmp_path / "s", 3)
    group = zarr.open_group(path)
    del group["call_genotype"]
    blosc = zarr.codecs.BloscCodec()
    array = group.create_array(
        "call_genotype", data=CALLS, chunks=(1, 4, 2), shards=(2, 4, 2), compressors=blosc
    )
    assert array.shards == (2, 4, 2)
    ds = blmm.open_vcf_zarr(path, traits=TRAITS)
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    damage(path, "call_genotype")
    with pytest.raises(InputError, match="is cut short"):
        blmm.open_vcf_zarr(path, traits=TRAITS)


def last_chunk(folder, name):
    return max(f for f in (folder / name).rglob("*") if f.is_file() and f.name[0] not in ".z")


def test_absent_chunks(store):
    """Zarr leaves out chunks of zeros, so those of genotypes may be absent, but that is said."""
    last_chunk(store, "call_genotype").unlink()
    ds = read(store, said=["call_genotype lacks 1 of its 2 chunks, which Zarr takes for 0", *SAID])
    np.testing.assert_array_equal(ds["call_dosage"], [*DOSAGES[:2], [0] * 4, [0] * 4])


@pytest.mark.parametrize("name", ["variant_position", "variant_allele", "sample_id"])
def test_absent_chunks_that_cannot_be_zero(store, name):
    last_chunk(store, name).unlink()
    with pytest.raises(InputError, match=rf"{name} lacks 1 of its 2 chunks; it was not copied"):
        blmm.open_vcf_zarr(store, traits=TRAITS)


def test_names_in_far_too_many_chunks_are_damage(tmp_path):
    path = write(tmp_path / "x", 3)
    file = path / "contig_id" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shape": [10**6]}))
    with pytest.raises(InputError, match=r"contig_id is damaged: shape \(1000000,\)"):
        blmm.open_vcf_zarr(path, traits=TRAITS)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_absent_chunks_of_contigs(tmp_path, zarr_format):
    one = write(
        tmp_path / "one", zarr_format, {"variant_contig": (np.zeros(4, int), ("variants",))}
    )
    last_chunk(one, "variant_contig").unlink()
    assert read(one)["variant_contig"].values.tolist() == [0] * 4
    index = (np.array([0, 1, 1, 1]), ("variants",))
    two = write(tmp_path / "two", zarr_format, {"variant_contig": index})
    last_chunk(two, "variant_contig").unlink()
    with pytest.raises(InputError, match="variant_contig lacks 1 of its 2 chunks"):
        blmm.open_vcf_zarr(two, traits=TRAITS)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"sample_id": None}, {}, "has no sample_id; a VCF Zarr store has 'sample_id'"),
        ({"call_genotype": None}, {}, "no call_dosage or call_DS or call_genotype"),
        ({}, {"field": "call_DS"}, "has no call_DS; choose field among call_genotype"),
        ({}, {"field": "call_GT"}, "field is 'call_GT'"),
        ({"call_genotype": (CALLS[:3], ("variants", "samples", "ploidy"))}, {}, "of 3 variants"),
        ({"call_genotype": (CALLS[:, :, 0], ("variants", "samples"))}, {}, r"has shape \(4, 4\)"),
        ({"variant_contig": (np.array([0, 0, 2, 1]), ("variants",))}, {}, "is 2 at variant 3"),
        ({"variant_contig": (np.zeros(4, bool), ("variants",))}, {}, "and dtype bool"),
        ({"variant_contig": (np.zeros((4, 1), "i1"), ("variants", "x"))}, {}, r"shape \(4, 1\)"),
        ({"variant_position": (np.zeros(4, "c8"), ("variants",))}, {}, "and dtype complex64"),
        ({"variant_id": (["a"], ("variants",))}, {}, "variant_id has 1 entries for 4"),
        ({}, {"traits": TRAITS.reset_index()}, "carry no sample names"),
    ],
)
@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_malformed_stores(tmp_path, changes, options, message):
    path = write(tmp_path / "s", 3, changes)
    with pytest.raises(InputError, match=message):
        blmm.open_vcf_zarr(path, **({"traits": TRAITS} | options))


@pytest.mark.filterwarnings("ignore::bulklmm_dask.errors.StudyWarning")
def test_a_dosage_out_of_range_is_found_when_read(tmp_path):
    values = np.zeros((4, 4), np.float32)
    values[2, 1] = 2.5
    path = write(tmp_path / "s", 3, {"call_DS": (values, ("variants", "samples"))})
    ds = blmm.open_vcf_zarr(path, traits=TRAITS)
    with pytest.raises(
        InputError, match=r"call_DS, .* 2.5 at variant 'number 3', sample 'number 2'"
    ):
        ds["call_dosage"].compute()


def test_no_store(tmp_path):
    with pytest.raises(InputError, match="there is no store"):
        blmm.open_vcf_zarr(tmp_path / "x", traits=TRAITS)
    with pytest.raises(InputError, match="is no Zarr store, or damaged"):
        blmm.open_vcf_zarr(tmp_path, traits=TRAITS)
    write(tmp_path / "s", 3)
    (tmp_path / "s" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="is no Zarr store, or damaged"):
        blmm.open_vcf_zarr(tmp_path / "s", traits=TRAITS)
    shutil.rmtree(tmp_path / "s")


NAN = np.full((4, 4), np.nan, np.float32)
EMPTY = {
    "missing": (NAN, 2, "holds no value"),
    "missing in whole numbers": (np.full((4, 4), -1, np.int8), 2, "holds no value"),
    "of no allele": (NAN[:, :, None][:, :, :0], 3, "holds no value"),
    "missing for each allele": (np.stack([NAN, NAN], axis=2), 3, "holds no value"),
    "zeros": (np.zeros((4, 4), np.float32), 2, "is 0 throughout"),
    "of no variant": (NAN[:0], 2, "holds no value"),
    "text": (np.full((4, 4), 1, "S1"), 2, "has dtype |S1, not numbers"),
    "of another shape": (np.ones(4), 1, "has shape (4,)"),
}


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("name", ["call_DS", pytest.param("call_dosage", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_field_that_is_declared_but_empty_is_passed_over(tmp_path, name, kind, zarr_format):
    values, ndim, lack = EMPTY[kind]
    names = ("variants", "samples", "alt_alleles")[:ndim]
    path = tmp_path / "s"
    if kind == "of no allele":
        write(path, zarr_format)
        shape, chunks = (4, 4, 0), (2, 4, 1)
        zarr.open_group(path, zarr_format=zarr_format).create_array(
            name, shape=shape, chunks=chunks, dtype="f4"
        )
    elif kind == "of no variant":
        write(path, zarr_format)
        zarr.open_group(path, zarr_format=zarr_format).create_array(
            name, shape=(0, 4), chunks=(2, 4), dtype="f4"
        )
    else:
        write(path, zarr_format, {name: (values, names)})
    said = f"has {name} and call_genotype: {name} {lack}"
    ds = read(path, said=[said, *SAID])
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_field_without_any_chunk_is_passed_over(tmp_path, zarr_format):
    path = write(tmp_path / "s", zarr_format)
    group = zarr.open_group(path, zarr_format=zarr_format)
    group.create_array("call_DS", shape=(4, 4), chunks=(2, 4), dtype="f4", fill_value=1)
    said = "call_DS holds no value, so dosages are those of call_genotype; choose with field"
    np.testing.assert_array_equal(read(path, said=[said, *SAID])["call_dosage"], DOSAGES)
    with pytest.raises(InputError, match="call_DS holds no value; choose field among call_genotyp"):
        blmm.open_vcf_zarr(path, traits=TRAITS, field="call_DS")


def test_genotypes_that_are_empty_beside_dosages(tmp_path):
    values = np.array(DOSAGES, np.float32)
    empty = np.full_like(CALLS, -1)
    changes = {
        "call_DS": (values, ("variants", "samples")),
        "call_genotype": (empty, ("variants", "samples", "ploidy")),
    }
    ds = read(write(tmp_path / "s", 3, changes), said=["dosages are those of call_DS", *SAID])
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    changes["call_DS"] = (NAN, ("variants", "samples"))
    path = write(tmp_path / "t", 3, changes)
    with pytest.raises(InputError, match="call_DS holds no value; call_genotype holds no value"):
        blmm.open_vcf_zarr(path, traits=TRAITS)
    path = write(tmp_path / "u", 3, changes | {"call_DS": None})
    with pytest.raises(InputError, match="call_genotype holds no value; make the store again"):
        blmm.open_vcf_zarr(path, traits=TRAITS)


def test_the_first_value_may_come_late(tmp_path):
    values = np.full((4, 4), np.nan, np.float32)
    values[3, 2] = 0.5
    path = write(tmp_path / "s", 3, {"call_DS": (values, ("variants", "samples"))})
    ds = read(path, said=["dosages are those of call_DS", *SAID])
    np.testing.assert_array_equal(ds["call_dosage"], values)


@pytest.mark.parametrize("width", [0, 2])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_names_and_alleles_that_are_declared_but_empty(tmp_path, zarr_format, width):
    path = write(tmp_path / "s", zarr_format, {"variant_id": None, "variant_allele": None})
    group = zarr.open_group(path, zarr_format=zarr_format)
    group.create_array("variant_id", shape=(4,), chunks=(2,), dtype="T")
    group.create_array("variant_allele", shape=(4, width), chunks=(2, max(width, 1)), dtype="T")
    ds = read(path, said=["4 of 4 variants have no id"])
    assert list(ds["variant_id"].values) == ["1:10", "1:20", "1:30", "X:5"]
    assert set(ds["variant_allele"].values.ravel()) == {"."}


def test_a_relative_path_holds_wherever_the_program_goes(tmp_path, monkeypatch):
    write(tmp_path / "s.vcz", 3)
    monkeypatch.chdir(tmp_path)
    ds = read("s.vcz")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(ds["call_dosage"], DOSAGES)
    damage(tmp_path / "s.vcz", "call_genotype", 5)
    with pytest.raises(InputError, match=r"^s.vcz: call_genotype, variants 1 to 4 cannot be read"):
        ds["call_dosage"].load()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("name", "values", "dims", "message"),
    [
        (
            "variant_position",
            CALLS,
            ("variants", "samples", "ploidy"),
            "numbers (variants,)",
        ),
        ("variant_position", list("abcd"), ("variants",), "numbers (variants,)"),
        ("variant_contig", np.array(DOSAGES), ("variants", "samples"), "should be whole numbers"),
        ("variant_contig", list("0000"), ("variants",), "should be whole numbers"),
        ("sample_id", np.arange(4), ("samples",), "should be texts (samples,)"),
        ("contig_id", [["1"]], ("contigs", "x"), "should be texts (contigs,)"),
        ("variant_allele", list("ACGT"), ("variants",), "texts (variants, alleles)"),
    ],
)
def test_arrays_of_another_kind_are_named(tmp_path, zarr_format, name, values, dims, message):
    path = write(tmp_path / "s", zarr_format, {name: (values, dims)})
    with pytest.raises(InputError, match=rf"s: {name} has shape .*{re.escape(message)}"):
        blmm.open_vcf_zarr(path, traits=TRAITS)


def test_a_shape_that_no_store_can_have(tmp_path):
    path = write(tmp_path / "s", 3)
    file = tmp_path / "s" / "variant_position" / "zarr.json"
    metadata = json.loads(file.read_text())
    file.write_text(json.dumps(metadata | {"shape": [10**13]}))
    with pytest.raises(InputError, match=r"variant_position is damaged: shape \(10000000000000,\)"):
        blmm.open_vcf_zarr(path, traits=TRAITS)


def test_names_in_bytes_are_texts(tmp_path):
    alleles = np.array([list("AG"), list("CT"), list("GA"), list("TC")], dtype="S1")
    path = write(tmp_path / "s", 2, {"variant_allele": (alleles, ("variants", "alleles"))})
    ds = read(path, said=SAID[:1])
    assert ds["variant_allele"].values.tolist() == alleles.astype(str).tolist()
