"""Stops at the n-th file operation: an error, Ctrl-C, or the end of the process."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.places import files

_OPERATIONS = (
    *((os, name) for name in ("open", "mkdir", "rename", "replace", "link", "unlink", "rmdir")),
    *((os, "fsync"), (os, "utime"), (io, "open"), (builtins, "open"), (files, "exchange")),
)


ALL = range(10**6)


def error() -> None:
    """What a disk says that fails for a moment."""
    raise OSError(errno.EIO, "Input/output error")


def ctrl_c() -> None:
    """Ctrl-C: it interrupts the main thread, whichever thread this is."""
    os.kill(os.getpid(), signal.SIGINT)


def kill() -> None:
    """The end, without any clean-up."""
    os._exit(9)


class Stop:
    """Counts file operations, and stops before or after the `at`-th one."""

    def __init__(self, at: int, how: Callable[[], None], after: bool, swap: bool) -> None:
        self.at, self.how, self.after, self.swap = at, how, after, swap
        self.count, self.reached = itertools.count(), False
        self.lock = threading.Lock()

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """The operation, counted."""

        def operation(*args: Any, **options: Any) -> Any:
            with self.lock:
                now = next(self.count) == self.at
                self.reached |= now
            if now and not self.after:
                self.how()
            found = self._run(name, real, args, options)
            if now and self.after:
                self.how()
            return found

        return operation

    def _run(self, name: str, real: Callable[..., Any], args: Any, options: Any) -> Any:
        if name == "fsync":
            return None  # the tests do not cut the power
        if name == "exchange" and not self.swap:
            return False
        return real(*args, **options)


@contextmanager
def stopping(
    at: int, how: Callable[[], None], *, after: bool = False, swap: bool = True
) -> Iterator[Stop]:
    """Stop at a file operation of the block.

    Parameters
    ----------
    at : int
        Its number, from 0.
    how : callable
        `error`, `ctrl_c` or `kill`.
    after : bool
        Whether the operation has been done when it stops.
    swap : bool
        Whether the file system can swap two names.
    """
    stop = Stop(at, how, after, swap)
    with ExitStack() as patches:
        for module, name in _OPERATIONS:
            wrapped = stop.wrapped(name, getattr(module, name))
            patches.enter_context(mock.patch.object(module, name, wrapped))
        yield stop


def stopped_everywhere(
    action: Callable[[], None],
    check: Callable[[], None],
    how: Callable[[], None],
    *,
    after: bool = False,
    swap: bool = True,
    numbers: Iterable[int] = ALL,
) -> int:
    """Do something again and again, stopped at one operation after the other; check each time.

    Returns
    -------
    int
        Number of operations that it was stopped at.
    """
    for at in numbers:
        stop = None
        usual = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with suppress(StoreError, OSError, KeyboardInterrupt):
                with stopping(at, how, after=after, swap=swap) as stop:
                    action()
                for _ in range(100):  # a signal takes a few steps to arrive
                    pass
        finally:
            signal.signal(signal.SIGINT, usual)
        check()
        assert stop is not None
        if not stop.reached:
            return at
    raise AssertionError


def killed_everywhere(
    action: Callable[[], None],
    check: Callable[[], None],
    *,
    swap: bool = True,
    numbers: Iterable[int] = ALL,
) -> int:
    """Do the same in children that end at the operation. No other thread may run yet."""
    assert threading.active_count() == 1
    for at in numbers:
        child = os.fork()
        if not child:
            code = 1
            with suppress(BaseException), stopping(at, kill, swap=swap) as stop:
                action()
                code = 9 if stop.reached else 0
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9)
        in_child(check)
        if code == 0:
            return at
    raise AssertionError


def in_child(action: Callable[[], object]) -> None:
    """Do something in a child, for it may start threads, after which no child can be made."""
    child = os.fork()
    if not child:
        try:
            action()
        except BaseException as found:
            print(f"{type(found).__name__}: {found}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def imported_by(action: Callable[[], object]) -> None:
    """Do something in a child, and import here what it has imported: later children need not."""
    with tempfile.TemporaryFile() as file:

        def told() -> None:
            action()
            file.write("\n".join(sys.modules).encode())
            file.flush()

        in_child(told)
        file.seek(0)
        for name in file.read().decode().split():
            with suppress(ImportError):  # of a part of Python that another system has
                import_module(name)


def hidden(folder: Path) -> list[str]:
    """Hidden files and folders, at any depth."""
    return sorted(str(one) for one in folder.rglob("*") if one.name[:1] == ".")
