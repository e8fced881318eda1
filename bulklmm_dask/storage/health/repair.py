"""A damaged result put right: a skeleton from the same analysis again, and wrong blocks undone.

All but the scores is known once the analysis is laid out again: names and places, metadata,
attributes. Files that differ from those of a new skeleton are replaced. Blocks that are not the
ones that were written lose their marks, so that the analysis computes them, and no others, again.

Whenever this is cut off, what is left can be repaired again: a mark is taken back before what it
vouches for changes, and the seal comes after all that it describes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bulklmm_dask.errors import StoreError
from bulklmm_dask.storage.arrays.datasets import is_read
from bulklmm_dask.storage.arrays.form import Form
from bulklmm_dask.storage.health.contents import is_of_a_run
from bulklmm_dask.storage.health.examine import Finding, examine
from bulklmm_dask.storage.places.location import METADATA, Location, ServerError, explained
from bulklmm_dask.storage.places.lock import Writer
from bulklmm_dask.storage.places.lock import writing as _writing
from bulklmm_dask.storage.proof.attributes import Attributes, attributes_in, attributes_of
from bulklmm_dask.storage.proof.manifest import (
    BLOCKS,
    TRAITS,
    entered,
    place,
    sums_name,
    wrong_files,
)
from bulklmm_dask.storage.proof.seal import copy_of, is_sealed, seal, without_seal
from bulklmm_dask.storage.proof.stamp import PARTS
from bulklmm_dask.storage.results.ledger import KEPT, Ledger, fold
from bulklmm_dask.storage.results.soundness import is_entered
from bulklmm_dask.storage.results.written import Written
from bulklmm_dask.storage.summaries.of_blocks import SUMMARY
from bulklmm_dask.surface import either
from bulklmm_dask.typing import Flags

# A file of an array: its name, and the index in the grid of its files.
_File = tuple[str, tuple[int, ...]]
_Mark = tuple[int, ...]
# Without these, attributes that are not as they were sealed do not tell what made a result.
_NEEDED = frozenset({"block", "dims", "statistics", "of_traits", "fingerprints", "version"})


class UnmendableError(StoreError):
    """A damaged store cannot be put right; the text says why."""


def attributes_to_repair(store: Location) -> Attributes:
    """Attributes of a damaged store, without its seal: its own, or their copy.

    Raises
    ------
    UnmendableError
        If neither can be read, or they are of two stores.
    """
    found, copied = attributes_in(store / METADATA), copy_of(store)
    own, copy = (None if one is None else without_seal(one) for one in (found, copied))
    if found is not None and is_sealed(found) and copy not in (None, own):
        raise UnmendableError(
            f"{METADATA} and the copy of its attributes in manifest/{METADATA} are of two stores; "
            "put the right file back"
        )
    if found is not None and is_sealed(found):
        return without_seal(found)
    if copy is not None:
        return copy
    if own is not None and set(own) >= _NEEDED:
        return own  # the fingerprints tell whether they are right
    raise UnmendableError(
        f"{METADATA} is damaged, and so is the copy of its attributes in manifest/{METADATA}, so "
        "that its options are not known"
    )


def is_finished(store: Location) -> bool:
    """Whether a store is no result with blocks that are still to be computed."""
    try:
        return is_entered(store)
    except ServerError:
        raise
    except Exception:  # a study; or damage, which is a finding of its own
        return True


@contextmanager
def repairing(store: Location, attrs: Attributes, found: Sequence[Finding]) -> Iterator[Writer]:
    """Hold the right to write into a damaged result, for the analysis that computes it again.

    Parameters
    ----------
    store : Location
        The result.
    attrs : dict
        Its attributes (`attributes_to_repair`).
    found : sequence of Finding
        What is wrong with it (`examine`).

    Raises
    ------
    StoreError
        If a run writes into it.
    """
    with explained(store):
        _remove_file(store / BLOCKS)
        (store / BLOCKS).make_folder()
    with _writing(store, *KEPT) as writer:
        writer.repair = _Repair(writer, attrs, found)
        yield writer


@dataclass(frozen=True)
class _Repair:
    """Repairs the store of a writer; other fields are the arguments of `repairing`."""

    writer: Writer
    attrs: Attributes
    found: Sequence[Finding]

    def __call__(self, fresh: Location) -> None:
        """Repair the store, given a new one of the same analysis, without scores."""
        store = self.writer.store
        _set_version(fresh, self.attrs["version"])
        skeleton = _Fresh(fresh, store, attributes_of(fresh))
        self._require_same(skeleton.attrs)
        with explained(store):
            skeleton.clear_the_way()
            skeleton.put_metadata()
            unmarked = skeleton.damaged_entries(of_marks=True)
            skeleton.put(unmarked)
            undone = self._undo(skeleton)
            skeleton.put_content()
            skeleton.put_seal()
            fold(store, self.writer.held)
            self._mark(skeleton, {name for name, _ in unmarked}, undone)
            self._remove_wrong_blocks(skeleton)

    def _require_same(self, attrs: Attributes) -> None:
        """Raise UnmendableError unless the analysis is the one that made the store."""
        found = self.attrs["fingerprints"]
        other = [name for name, own in attrs["fingerprints"].items() if found.get(name) != own]
        if other:
            raise UnmendableError(
                f"it was made from other inputs than this study holds: {', '.join(other)} differ; "
                f"give the study that it was made from as {either('study', '--from')}"
            )

    def _ledger(self) -> Ledger:
        return Ledger(self.writer.store, self.writer.held)

    def _undo(self, skeleton: _Fresh) -> set[_Mark]:
        """Take back the marks of blocks whose entries in the manifest are lost; put empty ones."""
        damaged = skeleton.damaged_entries(of_marks=False)
        undone = {mark for file in damaged for mark in skeleton.marks_of(*file)}
        ledger = self._ledger()
        for mark in undone:
            ledger.forget(mark)
        ledger.write()
        skeleton.put(damaged)
        return undone

    def _mark(self, skeleton: _Fresh, kinds: set[str], undone: set[_Mark]) -> None:
        """Mark again what has lost its mark only: its files are those that the manifest lists."""
        ledger = self._ledger()
        for kind in kinds:
            waiting = set(_where(~entered(self.writer.store, kind))) - undone
            for mark in waiting - skeleton.wrong_marks(kind, waiting):
                length = sum(file.size() for file in skeleton.files_of(kind, mark))
                ledger.note(Written(mark, length=length))
        ledger.write()

    def _remove_wrong_blocks(self, skeleton: _Fresh) -> None:
        """Remove each file of a block that is not the one that was written, and take its mark."""
        store, removed = self.writer.store, []
        # Damaged metadata or sums hide which files are wrong.
        hidden = any(one.file.endswith(METADATA) or _is_of_manifest(one) for one in self.found)
        found = examine(store, lambda _: None) if hidden else self.found
        wrong = {finding.file for finding in found}
        ledger = self._ledger()
        for kind in (BLOCKS, TRAITS):
            for mark in _where(entered(store, kind)):
                for file in skeleton.files_of(kind, mark):
                    if file.below(store) in wrong:
                        ledger.forget(mark)
                        removed.append(file)
        ledger.write()
        for file in removed:
            file.remove()


@dataclass(frozen=True)
class _Fresh:
    """A new store of the same analysis, without scores, beside the damaged one.

    Attributes
    ----------
    fresh, store : Location
        The new store, and the damaged one.
    attrs : dict
        Attributes of the new one, with its seal.
    """

    fresh: Location
    store: Location
    attrs: Attributes

    def put_metadata(self) -> None:
        """Put the metadata of all arrays and groups right, but for the root."""
        self._put_where_other(f"{name}/{METADATA}" for name in sorted(self.attrs[PARTS]))

    def put_content(self) -> None:
        """Put right what no block is written into."""
        self._put_where_other(
            _path(name, form, index)
            for name, form in self._forms.items()
            if self._is_constant(name)
            for index in np.ndindex(form.files)
        )

    def put_seal(self) -> None:
        """Put the attributes of the root right, once all that they describe is there."""
        self._put_where_other([METADATA])

    def damaged_entries(self, *, of_marks: bool) -> list[_File]:
        """Files of the manifest that cannot be read: of marks, or of checksums.

        Those of summaries are made again of the LODs by the analysis.
        """
        return [
            (name, index)
            for name, form in self._forms.items()
            if not self._is_constant(name)
            and name not in self._scores
            and not name.startswith(f"{SUMMARY}/")
            and (name in (BLOCKS, TRAITS)) == of_marks
            for index in np.ndindex(form.files)
            if not self._is_read(name, index)
        ]

    def put(self, damaged: Iterable[_File]) -> None:
        """Put files of the manifest without entries in place of others."""
        self._put(_path(name, self._forms[name], index) for name, index in damaged)

    def marks_of(self, name: str, index: tuple[int, ...]) -> Iterator[_Mark]:
        """Marks of what has entries in a file of the manifest."""
        if name in map(sums_name, self.attrs["of_traits"]):
            length = self._forms[name].file[-2]
            yield from (m for m in self._all_marks(TRAITS) if m[0] // length == index[-2])
            return
        blocks = self._forms[BLOCKS].file
        for i, j in self._all_marks(BLOCKS):
            if (i // blocks[0], j // blocks[1]) == index[:2]:
                yield i, j

    def wrong_marks(self, kind: str, chosen: Iterable[_Mark]) -> set[_Mark]:
        """Which of these marks are of files that the manifest does not list."""
        found = set()
        for name in self._marked(kind):
            dimensions = len(self._forms[name].shape)
            mark_of = {place(mark, dimensions): mark for mark in chosen}
            found |= {mark_of[index] for index, _ in wrong_files(self.store, name, list(mark_of))}
        return found

    def files_of(self, kind: str, mark: _Mark) -> Iterator[Location]:
        """Files of a block, or of a chunk of traits."""
        for name in self._marked(kind):
            form = self._forms[name]
            yield self.store / _path(name, form, place(mark, len(form.shape)))

    def clear_the_way(self) -> None:
        """Remove what lies in the folder of an array and is none of its files.

        Where two arrays were exchanged, there are files in place of folders, and folders in place
        of files, so that this comes before anything is put there.
        """
        for name in self.attrs[PARTS]:
            _remove_file(self.store / name)
        for name, form in self._forms.items():
            if not (self.store / name).is_folder():
                continue
            own = {_path(name, form, index) for index in np.ndindex(form.files)}
            own.add(f"{name}/{METADATA}")
            for below in list((self.store / name).files()):
                path = f"{name}/{below}"
                if path not in own and not is_of_a_run(path):
                    (self.store / path).remove()
            for path in own:
                if (self.store / path).is_folder():
                    (self.store / path).remove()

    @cached_property
    def _scores(self) -> frozenset[str]:
        return frozenset((*self._marked(BLOCKS), *self._marked(TRAITS)))

    def _marked(self, kind: str) -> list[str]:
        """Arrays that are written with a mark of this kind."""
        names: list[str] = self.attrs["statistics" if kind == BLOCKS else "of_traits"]
        return names

    def _all_marks(self, kind: str) -> list[_Mark]:
        return list(np.ndindex(self._forms[kind].shape))

    @cached_property
    def _forms(self) -> dict[str, Form]:
        """Forms of all arrays of the new store, by name."""
        parts = self.attrs[PARTS]
        return {name: Form.at(self.fresh / name) for name in parts if "shape" in parts[name]}

    def _is_constant(self, name: str) -> bool:
        """Whether no block is written into an array."""
        parts, listed = self.attrs[PARTS], name.removeprefix(sums_name(""))
        streamed = listed not in self._scores and sums_name(listed) in parts
        return "content" in parts[name] or streamed

    def _is_read(self, name: str, index: tuple[int, ...]) -> bool:
        """Whether a file of the manifest is there and its values can be read."""
        form = self._forms[name]
        there = (self.store / _path(name, form, index)).is_file()
        return there and is_read(self.store / name, form, form.region(index))

    def _put_where_other(self, paths: Iterable[str]) -> None:
        self._put(path for path in paths if not _is_same(self.fresh / path, self.store / path))

    def _put(self, paths: Iterable[str]) -> None:
        """Put files of the new store into the damaged one; they are on the disk then."""
        targets = [(self.fresh / path, self.store / path) for path in paths]
        for source, target in targets:
            target.put(source)
        self.store.sync([target for _, target in targets])


def _remove_file(folder: Location) -> None:
    """Remove a file that lies where a folder should be."""
    if folder.is_file():
        folder.remove()


def _path(name: str, form: Form, index: tuple[int, ...]) -> str:
    """Path of a file of an array, below the store."""
    return f"{name}/{form.path(index)}"


def _is_of_manifest(finding: Finding) -> bool:
    return finding.array in (BLOCKS, TRAITS) or finding.array.startswith(sums_name(""))


def _set_version(fresh: Location, version: str) -> None:
    """Note in a new store which version of the package made the damaged one."""
    attrs = attributes_of(fresh)
    listed = {name for name, part in attrs[PARTS].items() if "content" not in part}
    seal(fresh, {"version": version}, frozenset(listed))


def _is_same(one: Location, other: Location) -> bool:
    try:
        return other.is_file() and one.read_bytes() == other.read_bytes()
    except OSError:  # the disk does not give it
        return False


def _where(flags: Flags) -> list[_Mark]:
    return list(map(tuple, np.argwhere(flags).tolist()))
