"""The command that reads stores and compares them with what was written: verify."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pandas as pd

from bulklmm_dask.cli._base import Command, examples, say, show
from bulklmm_dask.cli._tables import give_table
from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.location import Location
from bulklmm_dask.text import counted, named, storage
from bulklmm_dask.verification import verify


@click.command(
    "verify",
    cls=Command,
    short_help="Read stores and compare them with what was written.",
    epilog=examples(
        "bulklmm verify bxd.zarr bxd-lod.zarr",
        "bulklmm verify *.zarr --json",
    ),
)
@click.argument("stores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def verify_command(stores: tuple[Path, ...], as_json: bool) -> None:
    """Read every byte of STORES once, and list the parts that are not as they were written.

    Studies and results, finished or not. Exits with 1 if anything is wrong.
    """
    tables = [_verified(store) for store in stores]
    found = pd.concat(tables, ignore_index=True)
    if as_json:
        findings = found.to_dict(orient="records")
        show(json.dumps({"stores": [str(store) for store in stores], "findings": findings}))
    elif len(found):
        give_table(found, None)
    if len(found):
        wrong = sum(len(table) > 0 for table in tables)
        raise StoreError(
            f"{counted(len(found), 'part')} of {counted(wrong, 'store')} not as written; save a "
            "study again; run the command of a result again with the same store, once the damaged "
            "files are removed"
        )


def _verified(store: Path) -> pd.DataFrame:
    size = Location.of(store).size()
    with click.progressbar(
        length=size, label=named(store), file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        table = verify(store, progress=lambda done, _: bar.update(done - bar.pos))
    state = counted(len(table), "finding") if len(table) else "as it was written"
    say(f"{named(store)}: {storage(size)} read, {state}")
    return table
