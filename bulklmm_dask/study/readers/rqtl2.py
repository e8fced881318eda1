"""Studies in the format of R/qtl2: a control file and the tables that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bulklmm_dask.crosses.types import NAMES, Cross, cross_of, is_cross
from bulklmm_dask.errors import InputError
from bulklmm_dask.storage.labels.encoding import text
from bulklmm_dask.study.cross import put_cross
from bulklmm_dask.study.files import Archive, Folder
from bulklmm_dask.study.metadata import say_available
from bulklmm_dask.study.readers._control import Control, open_control
from bulklmm_dask.study.readers._crosses import (
    AA,
    AB,
    BACKCROSS,
    BB,
    INBRED,
    INTERCROSS,
    NOT_AA,
    NOT_BB,
    NOTHING,
    PARTIAL,
    dosages,
    on_x,
    with_placeholders,
)
from bulklmm_dask.study.readers._markers import map_frame, numeric_positions, place_markers
from bulklmm_dask.study.readers._metadata import Labels, attach, require_known
from bulklmm_dask.study.readers._places import read_trait_places
from bulklmm_dask.study.readers._raw import (
    cross_numbers,
    founder_calls,
    founder_letters,
    marker_alleles,
)
from bulklmm_dask.study.readers._samples import SampleTables, read_covariates, read_samples
from bulklmm_dask.study.readers._traits import Source
from bulklmm_dask.study.schema import locate, require_unique, unknown_names
from bulklmm_dask.study.tables.calls import Calls
from bulklmm_dask.study.tables.read import read_calls, read_numbers, read_text
from bulklmm_dask.study.tables.table import Table, bind
from bulklmm_dask.study.tables.tablefile import TableFile
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import function, option
from bulklmm_dask.text import counted, listing

# Genotype of each code of a call. Code 3 of a backcross is the X of a male.
_INBRED_CODES = {0: NOTHING, 1: AA, 2: BB}
_CODES = {0: NOTHING, 1: AA, 2: AB, 3: BB, 4: NOT_BB, 5: NOT_AA}
_BACKCROSS_CODES = {0: NOTHING, 1: AA, 2: AB, 3: BB}
_CROSSES = (
    {BACKCROSS: _BACKCROSS_CODES}
    | dict.fromkeys(INBRED, _INBRED_CODES)
    | dict.fromkeys(INTERCROSS, _CODES)
)
_WITHOUT_HETEROZYGOTE = ("haploid", BACKCROSS)  # none exists, or (bc) it is listed as code 2


def read_rqtl2(
    source: str | Path,
    *,
    traits: Source | None = None,
    covariates: Source | None = None,
    trait_positions: Source | None = None,
) -> xr.Dataset:
    """Read a cross in R/qtl2's format.

    Parameters
    ----------
    source : path
        A zip file, a control file (.yaml or .json) beside its tables, or a folder with one
        control file.
    traits : path or DataFrame, optional
        A table of traits, as in `read_csv`, instead of the pheno of the control file.
    covariates : path or DataFrame, optional
        Samples x covariates, as in `read_csv`, beside the columns of the control file's covar.
    trait_positions : path or DataFrame, optional
        Trait, contig and position, as in `read_csv`.

    Returns
    -------
    Dataset
        The study, with dosages 0..1 of the second allele: 1 for a homozygote, in a backcross for
        the heterozygote, and for the one X of males that carry it. The physical map gives
        variant_position (Mb) and the genetic map variant_genetic_position (cM); without a
        physical map the genetic one gives variant_position. Columns of covar are metadata of the
        samples, sample_<column>, and so are sex and cross_info: a scan takes them as covariates
        only by name. Columns of phenocovar are kept as trait_<column>.

        For `genotype_probabilities` it keeps the calls as they are (call_code), the numbers of
        cross_info (sample_cross_number), and in crosses of several founders their alleles
        (founder_code); there the dosages are those of the marker's second allele.

    Raises
    ------
    InputError
        If a file is missing, damaged or malformed (with its name, line and column), or the type
        of the cross is not known.

    Warns
    -----
    StudyWarning
        For calls that the control file does not list: heterozygous where they can only be that,
        otherwise missing; for calls on the X that the sex of the sample excludes, which become
        missing; for what the samples have in covar; for everything dropped or reinterpreted.

    Examples
    --------
    ``blmm.read_rqtl2("bxd.zip")`` reads a study as R/qtl2 publishes it. Here is a small cross:

    >>> from pathlib import Path
    >>> _ = Path("cross.yaml").write_text('''crosstype: f2
    ... geno: geno.csv
    ... pheno: pheno.csv
    ... pmap: pmap.csv
    ... genotypes: {SS: 1, SB: 2, BB: 3}
    ... alleles: [S, B]
    ... ''')
    >>> _ = Path("geno.csv").write_text('''id,m1,m2
    ... a,SS,BB
    ... b,SB,SB
    ... c,BB,SS
    ... ''')
    >>> _ = Path("pheno.csv").write_text('''id,weight
    ... a,20.1
    ... b,22.5
    ... c,19.8
    ... ''')
    >>> _ = Path("pmap.csv").write_text('''marker,chr,pos
    ... m1,1,3.5
    ... m2,1,20
    ... ''')
    >>> study = blmm.read_rqtl2("cross.yaml")
    >>> study.call_dosage.to_pandas()
    samples     a    b    c
    variants
    m1        0.0  0.5  1.0
    m2        1.0  0.5  0.0
    """
    files, control = open_control(source)
    calls = _calls(files, control)
    samples = _samples(files, control, traits, calls.samples)
    covar, samples.labels = _metadata(files, control)
    if covar is not None:
        hint = "use the same names, or covar_transposed: true where the samples are its columns"
        require_known(covar, samples.traits.rows, "covariates", hint)
    if covariates is not None:
        samples.covariates, labels = read_covariates(covariates, samples.traits.rows)
        samples.labels |= labels
    if trait_positions is not None:
        samples.places = read_trait_places(trait_positions)
    ds = samples.study(
        calls.dosages(control, samples.labels.get("sex", {})),
        calls.placed,
        "Mb" if control.listed("pmap") else "cM",
        alleles=_alleles(control) if calls.founders is None else marker_alleles(control),
        maximum=1,
    )
    _attach_phenocovar(ds, files, control)
    return calls.raw(ds, files, control, covar).assign_attrs(_attributes(Path(source), control))


def _samples(
    files: Folder | Archive, control: Control, given: Source | None, genotyped: Sequence[str]
) -> SampleTables:
    """The traits of the control file, or those given instead."""
    if given is not None:
        if control.listed("pheno"):
            say(
                f"{control.label}: its own traits ({listing(control.listed('pheno'))}) are left "
                f"aside, for others are given; leave {option('traits')} out to have them"
            )
        return read_samples(given, None, None, genotyped, named_by=())
    traits = _joined(files, control, "pheno", read_numbers, np.nan)
    if traits is None:
        raise InputError(
            f"{control.label} lists no pheno; a study needs a table of traits: give it with "
            f"{option('traits')}"
        )
    return SampleTables(traits)


def _joined(
    files: Folder | Archive,
    control: Control,
    key: str,
    read: Callable[[TableFile], Table],
    fill: object,
) -> Table | None:
    """Read the table `key` from its files, side by side, transposed if the control file says so."""
    names = control.listed(key)
    if not names:
        return None
    tables = [read(TableFile(files, name, control.dialect)) for name in names]
    if control.is_transposed(key):
        tables = [table.T for table in tables]
    for table in tables:
        require_unique(table.rows, f"the row names of {table.label}", "keep one of each")
    return bind(tables, fill)


@dataclass(frozen=True)
class _Genotypes:
    """Genotypes (variants, samples) in the order of the map, and the map or None."""

    label: str
    values: npt.NDArray[np.uint8]
    variants: list[str]
    samples: list[str]
    placed: pd.DataFrame | None
    cross: Cross | None
    founders: npt.NDArray[np.uint8] | None

    def raw(
        self, ds: xr.Dataset, files: Folder | Archive, control: Control, covar: Table | None
    ) -> xr.Dataset:
        """Add calls, founders and cross_info to a study, for `genotype_probabilities`."""
        if self.cross is None:
            return ds
        return put_cross(
            ds,
            self.values,
            (self.variants, self.samples),
            self.founders,
            founder_letters(control, self.cross),
            cross_numbers(files, control, covar),
        )

    def dosages(self, control: Control, sexes: Mapping[str, str]) -> xr.DataArray:
        """Dosages (samples, variants) with names; the sexes tell what is possible on the X."""
        x = None
        if self.placed is not None:
            x = on_x(list(self.placed["contig"]), control.listed("x_chr"))
        values = dosages(
            self.values,
            control.crosstype,
            x,
            [sexes.get(name, "") for name in self.samples],
            (self.variants, self.samples),
            self.label,
        )
        if self.cross is not None:
            values = with_placeholders(values, self.values)
        names = {"samples": text(self.samples), "variants": text(self.variants)}
        return xr.DataArray(values.T, dims=("samples", "variants"), coords=names)


def _calls(files: Folder | Archive, control: Control) -> _Genotypes:
    """Read the table of calls, in the order of the map."""
    meaning = _meaning(control)
    calls = Calls()
    read = partial(read_calls, calls=calls)
    table = _joined(files, control, "geno", read, calls[""])
    if table is None:
        raise InputError(f"{control.label} lists no geno; a study needs a table of genotypes")
    counts = np.bincount(table.values.ravel(order="K"), minlength=len(calls))
    genotype_of = _genotype_of(calls, counts, control, meaning)
    codes, variants, placed = table.values.T, table.columns, _map(files, control)
    if placed is not None:
        maps = " and ".join(files.label(name) for name in control.listed(_chosen_map(control)))
        index, placed = place_markers(variants, placed, table.label, maps)
        codes, variants = codes[index], list(placed.index)
    cross = cross_of(control.crosstype) if is_cross(control.crosstype) else None
    founders = None
    if cross is not None and not cross.two_way:
        founder_letters(control, cross)
        founders = founder_calls(files, control, cross, variants)
    return _Genotypes(
        table.label, genotype_of[codes], variants, table.rows, placed, cross, founders
    )


def _alleles(control: Control) -> list[str]:
    return control.listed("alleles") or ["A", "B"]


def _meaning(control: Control) -> dict[int, int]:
    """Look up the genotype of each code in this kind of cross."""
    name = control.crosstype
    meaning = _CROSSES.get(name)
    if meaning is None and is_cross(name):
        return _CODES
    if meaning is None or len(_alleles(control)) != 2 or control.listed("founder_geno"):
        known = dict.fromkeys([*NAMES, *_CROSSES])
        raise InputError(
            f"{control.label}: crosstype {name!r} with alleles {_alleles(control)} cannot be read "
            f"from calls, which works for {', '.join(known)} (K founders), those of two founders "
            "without founder_geno; compute genotype probabilities elsewhere and read them with "
            f"{function('read_probabilities')}"
        )
    return meaning


def _genotype_of(
    calls: Calls, counts: np.ndarray, control: Control, meaning: dict[int, int]
) -> npt.NDArray[np.uint8]:
    """Genotype of every call that occurs, by its code in `calls`; warn of those not listed."""
    codes, missing = control.codes, control.dialect.missing | {""}
    heterozygous = _unlisted_heterozygotes(control, meaning)
    out = np.full(len(calls), NOTHING, dtype=np.uint8)
    for met, i in calls.items():
        call, count = met.strip(), int(counts[i])
        if call in missing or not count:
            continue
        if call in codes:
            out[i] = _listed_genotype(call, codes[call], count, control, meaning)
        elif call in heterozygous:
            out[i] = AB
            say(
                f"{counted(count, 'call')} {call!r}, which {control.label} does not list and "
                "which can only be heterozygous: taken as the dosage 0.5"
            )
        else:
            say(
                f"{counted(count, 'call')} {call!r}, which {control.label} does not list: taken as "
                "missing"
            )
    return out


def _listed_genotype(
    call: str, code: int, count: int, control: Control, meaning: dict[int, int]
) -> int:
    if code not in meaning:
        legal = [str(one) for one in meaning if one]
        raise InputError(
            f"{control.label}: the call {call!r} has code {code}, but a {control.crosstype} has "
            f"the codes {', '.join(legal)} only; correct genotypes"
        )
    if meaning[code] in PARTIAL:
        say(
            f"{counted(count, 'call')} {call!r}, which tells the genotype only in part: missing "
            f"among the dosages; {function('genotype_probabilities')} uses it"
        )
    return meaning[code]


def _unlisted_heterozygotes(control: Control, meaning: dict[int, int]) -> set[str]:
    """Calls that can only mean the heterozygote, though the control file does not list them."""
    listed = {meaning[code] for code in control.codes.values() if code in meaning}
    if AB in listed or not {AA, BB} <= listed or control.crosstype in _WITHOUT_HETEROZYGOTE:
        return set()
    alleles = _alleles(control)
    one, two = alleles if len(alleles) == 2 else marker_alleles(control)
    pairs = {f"{a}{sep}{b}" for a, b in ((one, two), (two, one)) for sep in ("", "/", "|")}
    return pairs if "H" in (one, two) else pairs | {"H"}


_MAPS = ("pmap", "gmap")  # the first that there is gives the positions


def _map(files: Folder | Archive, control: Control) -> pd.DataFrame | None:
    """Read the physical map with genetic positions beside it, or whichever there is."""
    physical, genetic = (_one_map(files, control, key) for key in _MAPS)
    if physical is None or genetic is None:
        return genetic if physical is None else physical
    return physical.assign(genetic=genetic["position"].reindex(physical.index))


def _chosen_map(control: Control) -> str:
    """The entry of the control file that names the map whose positions are used."""
    return next(key for key in _MAPS if control.listed(key))


def _one_map(files: Folder | Archive, control: Control, key: str) -> pd.DataFrame | None:
    names = control.listed(key)
    if not names:
        return None
    frames = []
    for name in names:
        table = read_text(TableFile(files, name, control.dialect))
        table = table.T if control.is_transposed(key) else table
        if len(table.columns) < 2:
            raise InputError(
                f"{table.label} has the columns {listing(table.columns)}; a map needs marker, "
                "chromosome and position"
            )
        position = numeric_positions(list(table.values[:, 1]), table.rows, table)
        frames.append(map_frame(table.rows, table.values[:, 0], position))
    whole = pd.concat(frames)
    files_of = " and ".join(map(files.label, names))
    require_unique(whole.index, f"the markers of {files_of}", "keep one row for each")
    return whole


def _metadata(files: Folder | Archive, control: Control) -> tuple[Table | None, Labels]:
    """The table covar, and its columns, sex and cross_info by sample; what there is is said."""
    table = _joined(files, control, "covar", read_text, "")
    labels: Labels = {}
    if table is not None:
        require_unique(table.columns, f"the columns of {table.label}", "rename one")
        labels = _by_row(table)
        say_available(table.label, labels)
    for key in ("sex", "cross_info"):
        name, column, codes = control.source_of(key)
        found = read_text(TableFile(files, name, control.dialect)) if name else table
        if found is None or not (name or column):
            continue
        if column and not name:
            what = f"{control.label}: {key} names the covariate {{}}, which {found.label} lacks"
            locate(found.columns, [column], what)
        wanted = found.columns if name else [str(column)]
        for one in wanted[:1] if key == "sex" else wanted:
            cells = list(found.values[:, found.columns.index(one)])
            if key == "sex":
                cells = _sexes(cells, codes, found.label)
            label = key if len(wanted) == 1 or key == "sex" else f"{key}_{one}"
            labels[label] = dict(zip(found.rows, cells, strict=True))
    return table, labels


def _by_row(table: Table) -> Labels:
    """Cells of a table of text by column and row."""
    columns = table.by_column().items()
    return {column: dict(zip(table.rows, cells, strict=True)) for column, cells in columns}


def _sexes(cells: Sequence[str], codes: dict[str, str], label: str) -> list[str]:
    """Sexes as female and male; without codes 0 is female and 1 male."""
    codes = codes or {"0": "female", "1": "male"}
    named = {
        code: {"f": "female", "m": "male"}.get(sex[:1].lower(), sex) for code, sex in codes.items()
    }
    unknown = {cell for cell in cells if cell not in named}
    if unknown:
        say(
            f"{label}: the sexes {listing(sorted(unknown))} are not among the codes "
            f"{listing(named)} of the control file; they are left empty"
        )
    return [named.get(cell, "") for cell in cells]


def _attach_phenocovar(ds: xr.Dataset, files: Folder | Archive, control: Control) -> None:
    table = _joined(files, control, "phenocovar", read_text, "")
    if table is None:
        return
    unknown = unknown_names(ds["trait_id"].values, table.rows)
    if unknown:
        say(
            f"{len(unknown)} of {len(table.rows)} rows of {table.label} describe no trait of the "
            f"study and are left out: {listing(unknown)}"
        )
    for column, by_trait in _by_row(table).items():
        attach(ds, "traits", column, by_trait)


def _attributes(source: Path, control: Control) -> dict[str, object]:
    chromosomes = control.listed("x_chr")
    attributes = {
        "source": source.name,
        "description": control.entries.get("description"),
        "crosstype": control.crosstype,
        "x_chr": chromosomes[0] if len(chromosomes) == 1 else chromosomes,
    }
    return {key: value for key, value in attributes.items() if value}
