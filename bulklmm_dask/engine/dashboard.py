"""Seeing what a cluster does: the address of its dashboard, and Dask's report of how time went.

Dask draws both with bokeh, in the process of the scheduler.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bulklmm_dask.errors import InputError, StoreError
from bulklmm_dask.storage.places.location import Location
from bulklmm_dask.study.warn import say
from bulklmm_dask.surface import option

if TYPE_CHECKING:
    from distributed import Client

BOKEH = "bokeh"
# Whoever reaches a dashboard sees names and code, so that only this machine does unless asked.
LOOPBACK = "127.0.0.1"
_ALL = "0.0.0.0"  # all addresses of this machine
_TITLE = b"<title>Dask Performance Report</title>"
_HEAD = 4096  # bytes of a report that hold its title


def can_draw() -> bool:
    """Whether bokeh is installed here."""
    return find_spec(BOKEH) is not None


def require_bokeh(name: str) -> None:
    """Raise InputError, before any work, if an option needs bokeh and there is none."""
    if not can_draw():
        raise InputError(f"{option(name)} needs bokeh, which is not installed: pip install bokeh")


def address_in(given: str) -> tuple[str, int] | None:
    """Host and port of ``PORT`` or ``HOST:PORT``; None if it is neither."""
    host, _, port = given.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16) or set(host) & set("/:"):
        return None
    return host or LOOPBACK, int(port)


def serving_address(given: str) -> tuple[str, int]:
    """Host and port to serve a dashboard at.

    Parameters
    ----------
    given : str
        ``PORT`` or ``HOST:PORT``; empty for any free port. Without a host the dashboard is seen on
        this machine only.

    Raises
    ------
    InputError
        If it is no such address, or the host is none of this machine.
    """
    found = address_in(given or "0")
    if found is None:
        raise InputError(
            f"{option('dashboard')} is {given!r}; it should be a port, or a host of this machine "
            "and a port, such as 8787 or 0.0.0.0:8787"
        )
    host, _ = found
    try:
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise InputError(
            f"{option('dashboard')} is {given!r}, but {host!r} is no address of this machine "
            f"({error}); leave it out, or give 0.0.0.0 for all addresses"
        ) from error
    return found


def link_to(host: str, asked: int, port: int) -> str:
    """Address for a browser of a dashboard at a port; says if another one was asked, not 0."""
    from distributed.utils import format_dashboard_link

    shown = socket.gethostname() if host == _ALL else host
    in_use = f" (port {asked} is in use)" if asked not in (0, port) else ""
    return f"{format_dashboard_link(shown, port)}{in_use}"


def link_of(client: Client) -> str:
    """Address of the dashboard of a running scheduler.

    Raises
    ------
    InputError
        If it has none, or cannot draw it.
    """
    scheduler = client.scheduler_info(n_workers=0)
    if "dashboard" not in scheduler["services"]:
        raise InputError(
            f"the scheduler at {scheduler['address']} has no dashboard: it was started without; "
            f"start it anew, or leave out {option('dashboard')}"
        )
    require_bokeh_there(client, "dashboard")
    return str(client.dashboard_link)


def require_bokeh_there(client: Client, name: str) -> None:
    """Raise InputError if an option needs bokeh and the scheduler has none."""
    try:
        client.run_on_scheduler(version, BOKEH)
    except PackageNotFoundError:
        raise InputError(
            f"{option(name)} needs bokeh where the scheduler runs, at "
            f"{client.scheduler_info(n_workers=0)['address']}: install it there, and start the "
            "scheduler anew"
        ) from None


def require_report(path: str) -> Location:
    """Location of a report to come; an earlier one may be there, and is replaced.

    Raises
    ------
    StoreError
        If something else is there, or nothing can be written there.
    """
    file = Location.of(path)
    file.require_free_file(overwrite=True)
    if file.is_file():
        with file.open() as stream:
            if _TITLE not in stream.read(_HEAD):
                raise StoreError(
                    f"{file} exists, and is no performance report, which alone would be replaced; "
                    f"give {option('performance_report')} another name"
                )
    return file


@contextmanager
def reported(client: Client, file: Location | None) -> Iterator[None]:
    """Write Dask's performance report of the ``with`` block, also after an error or Ctrl-C.

    The page needs no network: what draws it is in it. Where it cannot be drawn, that is a
    StudyWarning, and what was computed is not lost.
    """
    if file is None:
        yield
        return
    from distributed import performance_report

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        report = performance_report(filename=str(page), mode="inline")
        with client.as_current():
            report.__enter__()
        try:
            yield
        finally:
            if client.status == "running":  # a cluster that is lost has nothing to tell
                try:
                    with client.as_current():
                        report.__exit__(None, None, None)
                    file.write_text(page.read_text(encoding="utf-8"))
                except Exception as error:  # of Dask, or of a bokeh that does not suit it
                    say(f"there is no performance report {file}: it could not be made ({error})")
