"""The command that reads stores and compares them with what was written: verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Self

import click
import pandas as pd
import xarray as xr
from click.core import ParameterSource

from bulklmm_dask.cli._base import PATH, Command, compute_options, did, examples, say
from bulklmm_dask.cli._tables import give_table
from bulklmm_dask.cli._voice import is_json, is_quiet
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
@compute_options
@click.pass_context
def verify_command(
    ctx: click.Context,
    /,
    stores: tuple[Path, ...],
    mend: bool,
    study: str | None,
    **compute: Any,
) -> None:
    """Read every byte of STORES once, and list the parts that are not as they were written.

    Studies and results, finished or not. Exits with 1 if anything is wrong, with --mend if anything
    was not mended. What cannot be mended is listed with the reason: the genotypes and traits of a
    study; a result whose kinship, weights or the like were given as tables, which it does not keep.
    """
    if mend:
        tables, failed = _mended(stores, study, compute)
    else:
        _refuse_unused(ctx, compute)
        tables, failed = _all_verified(stores, study)
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    did(stores=[str(store) for store in stores], findings=found.to_dict(orient="records"))
    if len(found) and not is_json():
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


def _refuse_unused(ctx: click.Context, compute: dict[str, Any]) -> None:
    """Refuse options of what computes where nothing is computed."""
    for param in ctx.command.params:
        given = param.name in compute and ctx.get_parameter_source(str(param.name))
        if given and given != ParameterSource.DEFAULT:
            raise click.UsageError(
                f"{param.opts[0]} {compute[str(param.name)]} is of what --mend computes, and "
                "without --mend nothing is computed: leave it out, or add --mend"
            )


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


def _mended(stores: tuple[Path, ...], study: str | None, compute: dict[str, Any]) -> _Found:
    from bulklmm_dask.cli._run import workers  # only who mends waits for these
    from bulklmm_dask.cli._sources import open_source

    with workers(**compute):
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
                hidden=is_quiet() or not sys.stderr.isatty(),
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
