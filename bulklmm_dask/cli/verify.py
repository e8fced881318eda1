"""The command that reads stores and compares them with what was written: verify."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Self

import click
import pandas as pd
import xarray as xr

from bulklmm_dask.cli._base import PATH, Command, examples, say, show
from bulklmm_dask.cli._tables import give_table
from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.text import counted, named, storage
from bulklmm_dask.verification import verify


@click.command(
    "verify",
    cls=Command,
    short_help="Read stores and compare them with what was written; mend results.",
    epilog=examples(
        "bulklmm verify bxd.zarr bxd-lod.zarr",
        "bulklmm verify *.zarr --json",
        "bulklmm verify bxd-lod.zarr --mend",
        "bulklmm verify bxd-lod.zarr --mend --from /archive/bxd.zarr",
    ),
)
@click.argument("stores", nargs=-1, required=True, type=PATH)
@click.option(
    "--mend",
    is_flag=True,
    help="Compute what is damaged in a result again, and nothing else; finish it if it is not "
    "finished.",
)
@click.option(
    "--from",
    "study",
    metavar="STUDY",
    help="With --mend: the study that the results were made from.  [default: the one that each "
    "result names]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def verify_command(stores: tuple[Path, ...], mend: bool, study: str | None, as_json: bool) -> None:
    """Read every byte of STORES once, and list the parts that are not as they were written.

    Studies and results, finished or not. Exits with 1 if anything is wrong, with --mend if anything
    was not mended. What cannot be mended is listed with the reason: the genotypes and traits of a
    study; a result whose kinship, weights or the like were given as tables, which it does not keep.
    """
    tables, failed = (_mended if mend else _all_verified)(stores, study)
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if as_json:
        findings = found.to_dict(orient="records")
        show(json.dumps({"stores": [str(store) for store in stores], "findings": findings}))
    elif len(found):
        give_table(found, None)
    left = [table[~table["mended"]] if mend else table for table in tables]
    wrong = sum(len(table) > 0 for table in left)
    if wrong:
        what = f"{counted(sum(map(len, left)), 'part')} of {counted(wrong, 'store')}"
        failed = [
            f"{what} not mended; the table says why"
            if mend
            else f"{what} not as written; --mend computes those of results again, and a study is "
            "imported again",
            *failed,
        ]
    if failed:
        raise StoreError("; ".join(dict.fromkeys(failed)))


_Found = tuple[list[pd.DataFrame], list[str]]


def _all_verified(
    stores: tuple[Path, ...], study: xr.Dataset | str | None, *, mend: bool = False
) -> _Found:
    """Findings in each store that can be read, and why the others cannot."""
    tables, failed = list[pd.DataFrame](), list[str]()
    for store in stores:
        try:
            tables.append(_verified(store, mend=mend, study=study))
        except (InputError, StoreError) as error:
            if len(stores) == 1:
                raise
            failed.append(str(error))
    return tables, failed


def _mended(stores: tuple[Path, ...], study: str | None) -> _Found:
    from bulklmm_dask.cli._sources import open_source  # only who mends waits for these
    from bulklmm_dask.engine.local import workers

    with workers():
        source = None if study is None else open_source(study)
        return _all_verified(stores, source, mend=True)


class _Bars:
    """A bar for every time that the same is gone through."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, done: int, total: int) -> None:
        """Go on to `done`, with a new bar if that lies behind."""
        if self._bar is None or done < self._bar.pos:
            self.__exit__()
            self._bar = click.progressbar(
                length=total,
                label=self._label,
                file=sys.stderr,
                hidden=not sys.stderr.isatty(),
            )
        self._bar.update(done - self._bar.pos)


def _verified(store: Path, *, mend: bool, study: xr.Dataset | str | None) -> pd.DataFrame:
    size = Location.of(store).size()
    with _Bars(named(store)) as bars:
        table = verify(store, mend=mend, study=study, progress=bars)
    state = counted(len(table), "finding") if len(table) else "as it was written"
    if mend and len(table):
        state += f", {table['mended'].sum()} of them mended"
    say(f"{named(store)}: {storage(size)} read, {state}")
    return table
