"""A folder of rows: each committed in a file of its own, old ones many to a file.

No two processes ever write to one file, so nobody waits, and whoever is killed spoils nothing. But reading 100,000
files takes a minute, and as many requests to an object store. So rows that have come to stay are put together: a pack
holds `PACK_ROWS` of them, lies beside the others, and is called by a hash of its rows' names. When it is there, its
rows' own files are deleted. Being killed in between leaves both, and then the pack counts.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sweeper.results.folder import Folder
from sweeper.results.object_store import ObjectStore
from sweeper.results.tables import TRY_AGAIN, StudyError, parse_table, table_bytes, todays

PACK_ROWS = 1_000  # read in a second where they are files of their own, in some ms as a pack
PACK_LOST = f"restore it from a copy: without it, what it holds of up to {PACK_ROWS} trials is lost"
_PACK = "pack-"
_READINGS = 5  # of a folder in which others are packing
_names_in: dict[str, frozenset[str]] = {}  # packs by URL, which hold what they hold


class RowFiles:
    """The rows of one kind that a study holds.

    Args:
        storage: the study's.
        folder: in it.
        columns: schema of the rows.
        name: columns that make a row's name, joined by "-": its file's, without ending.
    """

    def __init__(self, storage: Folder | ObjectStore, folder: str, columns: pa.Schema, *name: str) -> None:
        self._storage = storage
        self._folder = folder
        self._columns = columns
        self._name = name

    def single(self, prefix: str = "") -> dict[str, int]:
        """Rows with a file of their own: name, and when it was changed in ns."""
        found = self._storage.files(self._folder, prefix).items()
        return {
            name.removesuffix(".parquet"): changed
            for name, changed in found
            if name.endswith(".parquet") and not name.startswith(_PACK)
        }

    def packed(self) -> set[str]:
        """Names of the rows in packs."""
        return set().union(*self._contents().values())

    def exists(self, name: str) -> bool:
        """Whether there is a row of that name."""
        return self._storage.exists(self.path(name)) or name in self.packed()

    def path(self, name: str) -> str:
        """Where the row's own file is or would be."""
        return f"{self._folder}/{name}.parquet"

    def read_single(self, names: Iterable[str]) -> pa.Table:
        """Rows from files of their own, by name.

        Raises:
            FileNotFoundError: there is no such file, or no more.
            StudyError: a file is damaged.
        """
        return self._read([self.path(name) for name in sorted(names)])

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

    def read(self) -> pa.Table:
        """All rows, in no order.

        Raises:
            StudyError: a file is damaged.
        """
        for _ in range(_READINGS):
            single = self.single().keys()  # listed first: what is packed meanwhile is in both
            packs = self._once(self._read(self._packs()))
            try:
                return pa.concat_tables([packs, self.read_single(single - set(self._names(packs).to_pylist()))])
            except FileNotFoundError:
                continue  # packed, or deleted by somebody, since it was listed
        raise StudyError(f"files in {self._storage}/{self._folder} go while they are read; run this again")

    def pack(self, names: Iterable[str], only: pc.Expression | None = None) -> None:
        """Put rows that have files of their own into packs, as far as they fill any.

        Args:
            names: of the rows.
            only: those of them that will not change any more; None: all.

        Raises:
            StudyError: a file is damaged.
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
                tables = self._tables([self.path(name) for name in loose[start : start + PACK_ROWS]])
            except FileNotFoundError:
                return  # another process is packing, too
            # Columns of a newer version would be lost: its rows stay where they are.
            known = [
                todays(table, self._columns, name)
                for name, table in tables
                if set(table.column_names) <= set(self._columns.names)
            ]
            part = pa.concat_tables([self._columns.empty_table(), *known])
            rows = pa.concat_tables([rows, part if only is None else part.filter(only)])
            if len(rows) >= PACK_ROWS:
                self._write_pack(rows.slice(0, PACK_ROWS))
                rows = rows.slice(PACK_ROWS)

    def _write_pack(self, rows: pa.Table) -> None:
        names = self._names(rows).to_pylist()
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        self._storage.write(f"{self._folder}/{_PACK}{digest}.parquet", table_bytes(rows, self._columns), once=True)
        self._storage.delete(*(self.path(name) for name in names))

    def _packs(self) -> list[str]:
        return sorted(f"{self._folder}/{name}" for name in self._storage.files(self._folder, _PACK))

    def _contents(self) -> dict[str, frozenset[str]]:
        """Names of the rows in each pack. A pack is read once by a process: it holds what it holds."""
        keys = {path: f"{self._storage}/{path}" for path in self._packs()}
        new = [path for path, key in keys.items() if key not in _names_in]
        for name, table in self._tables(new, self._name):
            _names_in[name] = frozenset(self._names(table).to_pylist())
        return {path: _names_in[key] for path, key in keys.items()}

    def _tables(self, paths: Sequence[str], columns: Sequence[str] | None = None) -> list[tuple[str, pa.Table]]:
        """Each file's full name and table, as its version wrote it."""
        names = [f"{self._storage}/{path}" for path in paths]
        return [
            (name, parse_table(data, name, PACK_LOST if f"/{_PACK}" in name else TRY_AGAIN, columns))
            for name, data in zip(names, self._storage.read(*paths), strict=True)
        ]

    def _read(self, paths: Sequence[str]) -> pa.Table:
        tables = [todays(table, self._columns, name) for name, table in self._tables(paths)]
        return pa.concat_tables([self._columns.empty_table(), *tables]).combine_chunks()

    def _names(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.binary_join_element_wise(*(rows[column] for column in self._name), "-")

    def _once(self, rows: pa.Table) -> pa.Table:
        """Two processes that packed at once may have packed a row twice."""
        first = {name: i for i, name in reversed(list(enumerate(self._names(rows).to_pylist())))}
        return rows if len(first) == len(rows) else rows.take(sorted(first.values()))
