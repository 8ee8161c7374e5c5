"""A sweep as one zip file: what is in it, and how it is read. All of it is checked before any of it is used.

The file holds ``sweep.json`` (the manifest), ``cells.json``, a folder per replicate that is decided with its record
and files, and ``checksums.json``. Nothing in it needs pickle to be read.
"""

import contextlib
import hashlib
import io
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from pydantic import TypeAdapter

from dn_distributed.config import RESULT_VERSION, Cell
from dn_distributed.files import open_regular
from tracking import schema
from tracking.manifest import Manifest
from tracking.portable import checks
from tracking.reasons import as_store_error
from tracking.store.names import LAYER
from tracking.store.record import CellRecord, Contents, DataRecord, Record, check_manifest
from tracking.store.runs import State

FORMAT = 1
"""Raise it when the layout changes: a file of another format is refused."""

CONTENTS, SWEEP, CELLS = "checksums.json", schema.MANIFEST_FILE, "cells.json"
REPLICATES, RECORD = "replicates", "replicate.json"
CELL_RECORDS = TypeAdapter(tuple[CellRecord, ...])
CHUNK = 1 << 20
"""Bytes that are read at a time."""

_NAMES = re.compile(
    rf"(?:checksums|sweep|cells)\.json|{REPLICATES}/(?P<key>[0-9a-f]{{32}})/(?P<file>replicate\.json|"
    rf"weights\.safetensors|masks\.safetensors|thresholds\.json|{schema.PATTERN_FOLDER}/{LAYER}\.png)"
)
"""Every entry that there may be: no folder, no path that leads elsewhere, nothing else."""
_MOST_BYTES = {".json": 64 << 20, ".safetensors": 1 << 30, ".png": 16 << 20}
_MOST_BYTES_IN_ALL = 256 << 30
_MOST_RATIO = 200  # of compressed JSON; everything else is stored as it is
_ENCRYPTED, _DOS_FOLDER = 0x1, 0x10
_Item = TypeVar("_Item")


class Track(Protocol):
    """Goes through items, perhaps showing how far it is."""

    def __call__(self, items: Sequence[_Item], what: str) -> Iterable[_Item]:
        """Return the items; ``what`` says what is done with them."""


def no_progress(items: Sequence[_Item], what: str) -> Iterable[_Item]:
    """Show nothing."""
    return items


def compression(name: str) -> int:
    """Return how an entry is packed: what is text is compressed, so only that can be far larger than it looks."""
    return zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED


@contextlib.contextmanager
def opened(path: Path, track: Track = no_progress, *, shown: Path | None = None) -> Iterator["Archive"]:
    """Give the exported sweep at ``path``, all of it checked.

    StoreError of one line that says what is wrong with it, or with ``shown`` if it goes by that name.
    """
    with contextlib.ExitStack() as stack:
        with as_store_error(shown or path):
            opened_file = stack.enter_context(open_regular(path))
            file = stack.enter_context(zipfile.ZipFile(opened_file))
        archive = Archive(file, shown or path, os.fstat(opened_file.fileno()).st_size)
        for key in track(archive.keys, "checking"):
            with tempfile.TemporaryDirectory(prefix="dn-") as folder:
                archive.states[key] = archive.unpack(key, Path(folder)).state
        yield archive


class Archive:
    """An exported sweep. ``opened`` makes it."""

    def __init__(self, file: zipfile.ZipFile, path: Path, size: int) -> None:
        """Check the names and sizes of all entries of ``size`` bytes, and read the sweep and its cells."""
        self._zip, self._path = file, path
        self.states: dict[str, State] = {}
        """Of the replicates that have been checked, by key."""
        with as_store_error(path):
            self._entries = _entries(file, size)
            self._files = _files(self._entries)
        self._sums: dict[str, str] = {}
        self._sums = self._read_sums()
        self.manifest = self._read_manifest()
        self.cells = self._read_cells()

    @property
    def keys(self) -> list[str]:
        """The keys of the replicates, in their order."""
        return list(self._files)

    def unpack(self, key: str, folder: Path) -> Record:
        """Write the files of a replicate to ``folder`` and return its record. StoreError where they do not fit."""
        own = f"{REPLICATES}/{key}"
        with as_store_error(self._path, own):
            record = Record.model_validate_json(self._read(f"{own}/{RECORD}"))
            cell = self._cell_of(record, key)
            names = checks.file_names(record, cell)
            _check_same(set(self._files[key]), {RECORD, *names})
            for name in names:
                (folder / name).parent.mkdir(exist_ok=True)
                with (folder / name).open("xb") as target:
                    self._extract(f"{own}/{name}", target)
            if record.finished:
                checks.check_files(folder, record, cell, self.manifest.score)
            return record

    def _cell_of(self, record: Record, key: str) -> Cell:
        held = self.cells.get(record.cell_key)
        if held is None:
            raise ValueError(f"there is no cell {record.cell_key}")
        if record.key != key or held.cell.replicate_key(record.seed) != key:
            raise ValueError("its key is not that of its cell and seed")
        if record.data not in (None, DataRecord.of(held.cell)):
            raise ValueError("its data are not those of its cell")
        return held.cell

    def _read_sums(self) -> dict[str, str]:
        with as_store_error(self._path, CONTENTS):
            contents = Contents.model_validate_json(self._read(CONTENTS))
        with as_store_error(self._path):
            if contents.format != FORMAT:
                raise ValueError(f"an export of format {contents.format}; this version of dn reads format {FORMAT}")
            if contents.result_version != RESULT_VERSION:
                versions = f"results of version {contents.result_version}; this version of dn makes {RESULT_VERSION}"
                raise ValueError(f"{versions}, and they cannot be compared")
            _check_same(set(self._entries) - {CONTENTS}, set(contents.sha256))
        return contents.sha256

    def _read_manifest(self) -> Manifest:
        with as_store_error(self._path, SWEEP):
            manifest = Manifest.model_validate_json(self._read(SWEEP))
            check_manifest(manifest)
            for method in manifest.methods:
                for cell in method.cells:
                    checks.check_cell(cell)
            return manifest

    def _read_cells(self) -> dict[str, CellRecord]:
        with as_store_error(self._path, CELLS):
            found = CELL_RECORDS.validate_json(self._read(CELLS))
            for item in found:
                checks.check_cell(item.cell)
            cells = {item.cell.key: item for item in found}
            if len(cells) != len(found):
                raise ValueError("a cell stands there twice")
            return cells

    def _read(self, name: str) -> bytes:
        data = io.BytesIO()
        self._extract(name, data)
        return data.getvalue()

    def _extract(self, name: str, target: BinaryIO) -> None:
        """Copy an entry, and no more of it than it said it holds."""
        if name not in self._entries:
            raise ValueError(f"{name} is missing")
        entry = self._entries[name]
        digest, left = hashlib.sha256(), entry.file_size
        with self._zip.open(entry) as source:
            while left >= 0 and (chunk := source.read(CHUNK)):
                left -= len(chunk)
                digest.update(chunk)
                target.write(chunk)
        if left or (name != CONTENTS and digest.hexdigest() != self._sums[name]):
            raise ValueError(f"{name} is damaged: its checksum is another one")


def _entries(file: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by name. ValueError for any that must not be there, before a byte of it is unpacked."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in file.infolist():
        name = entry.orig_filename  # as it stands there: ``filename`` ends at a zero byte
        if not _NAMES.fullmatch(name):
            raise ValueError(f"an entry {name!r} does not belong there")
        if name in found:
            raise ValueError(f"{name} stands there twice")
        _check_entry(entry)
        found[name] = entry
    if sum(entry.file_size for entry in found.values()) > _MOST_BYTES_IN_ALL:
        raise ValueError(f"it holds more than {_MOST_BYTES_IN_ALL >> 30} GiB")
    if sum(entry.compress_size for entry in found.values()) > size:
        raise ValueError("its entries overlap")
    return found


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.external_attr & _DOS_FOLDER:
        raise ValueError(f"{name} is no file but a link or a folder")
    if entry.flag_bits & _ENCRYPTED or entry.compress_type != compression(name):
        raise ValueError(f"{name} is not packed as `dn export` packs it")
    if entry.file_size > _MOST_BYTES[Path(name).suffix]:
        raise ValueError(f"{name} says that it holds {entry.file_size} bytes, too many")
    ratio = _MOST_RATIO if entry.compress_type == zipfile.ZIP_DEFLATED else 1
    if entry.file_size > ratio * entry.compress_size:
        raise ValueError(f"{name} says that it holds far more than it can")


def _files(names: Iterable[str]) -> dict[str, list[str]]:
    """The files of each replicate, by its key."""
    files: dict[str, list[str]] = {}
    for match in filter(None, map(_NAMES.fullmatch, names)):
        if match["key"]:
            files.setdefault(match["key"], []).append(match["file"])
    return files


def _check_same(found: set[str], expected: set[str]) -> None:
    if missing := expected - found:
        raise ValueError(f"{min(missing)} is missing")
    if unknown := found - expected:
        raise ValueError(f"{min(unknown)} does not belong there")
