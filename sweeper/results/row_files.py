"""A folder of rows: each committed in a file of its own, old ones many to a file.

No two processes ever write to one file, so nobody waits, and whoever is killed spoils nothing. But reading 100,000
files takes a minute, and as many requests to an object store. So rows that have come to stay are put together: a pack
holds `PACK_ROWS` of them, lies beside the others, and is called by a hash of its rows' names. When it is there, its
rows' own files are deleted. Being killed in between leaves both, and then the pack counts.

What a row says is believed only where its file is called so: a path is made of names that were checked.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results.folder import Folder, StorageError
from sweeper.results.names import PACK
from sweeper.results.object_store import ObjectStore
from sweeper.results.tables import TRY_AGAIN, StudyError, damaged, parse_table, table_bytes, todays

PACK_ROWS = 1_000  # read in a second where they are files of their own, in some ms as a pack
PACK_LOST = f"restore it from a copy: without it, what it holds of up to {PACK_ROWS} trials is lost"
_READINGS = 5  # of a folder in which others are packing
_names_in: dict[str, frozenset[str]] = {}  # packs by URL, which hold what they hold


@dataclass
class Doubts:
    """What is wrong with files, a line each, as it is found while they are read.

    Attributes:
        damage: files that can't be read, or hold something else than they are called by.
        strays: files without a row's or a pack's name, which were not read.
        unsound: files with a row that says what can't be, which was left out.
    """

    damage: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)


class RowFiles:
    """The rows of one kind that a study holds.

    Args:
        storage: the study's.
        folder: in it.
        columns: schema of the rows.
        form: pattern that a row's name must match.
        name: columns whose values, joined by "-", are a row's name: that of its file, without the ending.
    """

    def __init__(
        self, storage: Folder | ObjectStore, folder: str, columns: pa.Schema, form: re.Pattern[str], *name: str
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._columns = columns
        self._form = form
        self._name = name

    def single(self, prefix: str = "") -> dict[str, int]:
        """Rows with a file of their own: name, and when it was changed in ns."""
        return self._rows_of(self._storage.files(self._folder, prefix))

    def packed(self) -> set[str]:
        """Names of the rows in packs."""
        return set().union(*self._contents().values())

    def exists(self, name: str) -> bool:
        """Whether there is a row of that name."""
        return self._storage.exists(self.path(name)) or self.is_packed(name)

    def is_packed(self, name: str) -> bool:
        """Whether the row of that name is in a pack: asked for every trial, so not of all names put together."""
        return any(name in names for names in self._contents().values())

    def path(self, name: str) -> str:
        """Where the row's own file is or would be.

        Raises:
            StudyError: it is no row's name.
        """
        if not self._form.fullmatch(name):
            raise StudyError(f"{name[:80]!r} is no name of a file in {self._folder}/")
        return f"{self._folder}/{name}.parquet"

    def file_of(self, name: str) -> str:
        """The file that holds the row of that name: its own, or a pack."""
        packs = (pack for pack, names in self._contents().items() if name in names)
        return next(packs, self.path(name))

    def read_single(self, names: Iterable[str], doubts: Doubts | None = None) -> pa.Table:
        """Rows from files of their own, by name.

        Args:
            names: of the rows.
            doubts: takes what is wrong, instead of an error.

        Raises:
            FileNotFoundError: there is no such file, or no more.
            StudyError: a file is damaged.
        """
        return self._read([self.path(name) for name in sorted(names)], doubts)

    def find(self, name: str) -> pa.Table:
        """The row of that name, or no row; raises StudyError if its file is damaged."""
        for _ in range(2):  # it may be packed between the two looks
            for path, names in self._contents().items():
                if name in names:
                    rows = self._read([path])
                    return rows.filter(pc.equal(self._names(rows), name))
            with contextlib.suppress(FileNotFoundError):
                return self.read_single([name])
        return self._columns.empty_table()

    def read(self, doubts: Doubts | None = None) -> pa.Table:
        """All rows, in no order.

        Args:
            doubts: takes what is wrong with files, instead of an error for the first of them.

        Raises:
            StudyError: a file is damaged.
        """
        for _ in range(_READINGS):
            found = None if doubts is None else Doubts()
            listed = self._storage.files(self._folder)  # first: what is packed meanwhile is in both
            packs = self._once(self._read(self._packs(), found))
            single = self._rows_of(listed).keys() - set(self._names(packs).to_pylist())
            try:
                rows = pa.concat_tables([packs, self.read_single(single, found)])
            except FileNotFoundError:
                continue  # packed, or deleted by somebody, since it was listed
            if doubts is not None and found is not None:
                doubts.damage += found.damage
                doubts.strays += self._strays(listed)
            return rows
        raise StudyError(f"files in {self._storage}/{self._folder} go while they are read; run this again")

    def pack(self, names: Iterable[str], which: Callable[[pa.Table], pa.Table] = lambda rows: rows) -> None:
        """Put rows that have files of their own into packs, as far as they fill any; damaged ones stay where they are.

        Args:
            names: of the rows.
            which: picks, from a table of rows, those that will not change any more.

        Raises:
            StudyError: a pack is damaged.
        """
        names, packed = set(names), self.packed()
        if left := names & packed:  # whoever packed them was killed before this
            self._storage.delete(*(self.path(name) for name in left))
        loose = sorted(names - packed)
        rows = self._columns.empty_table()
        for start in range(0, len(loose), PACK_ROWS):
            if len(rows) + len(loose) - start < PACK_ROWS:
                return
            try:
                # Columns of a newer version would be lost: its rows stay where they are.
                part = self._read([self.path(n) for n in loose[start : start + PACK_ROWS]], Doubts(), known_only=True)
            except FileNotFoundError:
                return  # another process is packing, too
            rows = pa.concat_tables([rows, which(part)])
            if len(rows) >= PACK_ROWS:
                self._write_pack(rows.slice(0, PACK_ROWS))
                rows = rows.slice(PACK_ROWS)

    def _write_pack(self, rows: pa.Table) -> None:
        self.add_pack(rows)
        self._storage.delete(*(self.path(name) for name in self._names(rows).to_pylist()))

    def add_pack(self, rows: pa.Table) -> None:
        """Commit many rows at once, in a file of their own."""
        path = f"{self._folder}/{_pack_name(self._names(rows).to_pylist())}"
        self._storage.write(path, table_bytes(rows, self._columns), once=True)

    def _rows_of(self, listed: dict[str, int]) -> dict[str, int]:
        stems = ((name.removesuffix(".parquet"), name) for name in listed if name.endswith(".parquet"))
        return {stem: listed[name] for stem, name in stems if self._form.fullmatch(stem)}

    def _strays(self, listed: dict[str, int]) -> list[str]:
        known = {f"{name}.parquet" for name in self._rows_of(listed)}
        named = (name for name in listed if name.endswith(".parquet") or name.startswith("pack-"))
        return sorted(f"{self._folder}/{name}" for name in named if name not in known and not PACK.fullmatch(name))

    def _packs(self) -> list[str]:
        listed = self._storage.files(self._folder, "pack-")
        return sorted(f"{self._folder}/{name}" for name in listed if PACK.fullmatch(name))

    def _contents(self) -> dict[str, frozenset[str]]:
        """Names of the rows in each pack. A pack is read once by a process: it holds what it holds."""
        keys = {path: f"{self._storage}/{path}" for path in self._packs()}
        new = [path for path, key in keys.items() if key not in _names_in]
        for name, table in self._tables(new, self._name):
            _names_in[name] = frozenset(self._names(self._named(table, name)).to_pylist())
        return {path: _names_in[key] for path, key in keys.items()}

    def _tables(
        self, paths: Sequence[str], columns: Sequence[str] | None = None, doubts: Doubts | None = None
    ) -> list[tuple[str, pa.Table]]:
        """Each file's full name and table, as its version wrote it."""
        found = []
        for path, data in zip(paths, self._contents_of(paths, doubts), strict=True):
            name = f"{self._storage}/{path}"
            with _collected(doubts):
                if data is not None:
                    found.append((name, parse_table(data, name, _remedy(name), columns)))
        return found

    def _contents_of(self, paths: Sequence[str], doubts: Doubts | None) -> list[bytes | None]:
        try:
            return list(self._storage.read(*paths))
        except StorageError:
            if doubts is None:
                raise
        found: list[bytes | None] = []  # one by one, to see which it is
        for path in paths:
            found.append(None)
            with _collected(doubts):
                (found[-1],) = self._storage.read(path)
        return found

    def _read(self, paths: Sequence[str], doubts: Doubts | None = None, *, known_only: bool = False) -> pa.Table:
        tables = [self._columns.empty_table()]
        for name, table in self._tables(paths, doubts=doubts):
            if known_only and not set(table.column_names) <= set(self._columns.names):
                continue
            with _collected(doubts):
                tables.append(self._named(todays(table, self._columns, name, _remedy(name)), name))
        return pa.concat_tables(tables).combine_chunks()

    def _named(self, rows: pa.Table, file: str) -> pa.Table:
        """The file's rows; raises StudyError where they are not those that it is called by."""
        called = PurePosixPath(file).name
        try:
            names = self._names(rows).to_pylist()
        except pa.ArrowException as error:
            raise damaged(file, str(error), _remedy(file)) from error
        if called.startswith("pack-"):
            whole = all(isinstance(name, str) and self._form.fullmatch(name) for name in names)
            if not whole or _pack_name(names) != called:
                raise damaged(file, "it holds other rows than those that it is called by", _remedy(file))
        elif names != [called.removesuffix(".parquet")]:
            held = f"the row of {str(names[0])[:40]!r}" if len(names) == 1 else f"{len(names)} rows"
            raise damaged(file, f"it holds {held}, and should hold its own", _remedy(file))
        return rows

    def _names(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.binary_join_element_wise(*(rows[column] for column in self._name), "-")

    def _once(self, rows: pa.Table) -> pa.Table:
        """Two processes that packed at once may have packed a row twice."""
        first = {name: i for i, name in reversed(list(enumerate(self._names(rows).to_pylist())))}
        return rows if len(first) == len(rows) else rows.take(sorted(first.values()))


def _pack_name(names: Sequence[str]) -> str:
    return f"pack-{hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:16]}.parquet"


def _remedy(name: str) -> str:
    return PACK_LOST if PurePosixPath(name).name.startswith("pack-") else TRY_AGAIN


@contextlib.contextmanager
def _collected(doubts: Doubts | None) -> Iterator[None]:
    """Note what is wrong with a file instead of raising it, where that is wanted."""
    try:
        yield
    except (StorageError, StudyError) as error:
        if doubts is None:
            raise
        doubts.damage.append(str(error))
