"""Look at files whose libraries loop, crash or take all memory where bytes are damaged, before anybody reads them.

:mod:`bench.core.door.watched` runs this file as a process of its own, which may die. It imports nothing of ``bench``,
so that the process is there in a tenth of a second. What is touched: every object's header and attributes, every
index of chunks, and every text, as these lie in structures that point to each other; not the numbers, which nothing
points from.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py

#: Objects of a file, those counted that links lead to wherever they stand, and levels of groups.
_OBJECTS, _DEPTH = 200_000, 64
_ATTRIBUTES = 10_000
#: Texts that are read at once.
_BLOCK = 1 << 16
#: Filters that no tool uses for such files, and whose decoders trust what they read (HDF5: nbit, scale-offset).
_REFUSED_FILTERS = {5: "nbit", 6: "scaleoffset"}
#: Bytes of address space of the process that looks.
_ADDRESSES = 4 << 30
#: All that a pickle of plain containers needs beside text; Python 2 called the module differently.
_CONTAINERS: dict[tuple[str, str], Any] = {
    (module, name): kind
    for module in ("builtins", "__builtin__")
    for name, kind in (("set", set), ("frozenset", frozenset), ("dict", dict), ("list", list), ("str", str))
}


class Refused(Exception):
    """Why a file is not to be read; a sentence without its end."""


class PlainUnpickler(pickle.Unpickler):
    """Looks every name up in a fixed table: nothing is imported, and nothing but containers can be called."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an admitted type.

        Raises:
            Refused: For any other name.
        """
        if (module, name) not in _CONTAINERS:
            raise Refused(f"this pickle asks for '{module}.{name}'")
        return _CONTAINERS[module, name]


def look_at_pickle(path: str) -> None:
    """Unpickle a file of plain containers.

    Raises:
        MemoryError: It takes more than this process may have.
    """
    try:
        with open(path, "rb") as handle:
            PlainUnpickler(handle).load()
    except MemoryError:
        raise
    except Exception:
        return  # whoever reads it says what is wrong


def look_at_hdf5(path: str) -> None:
    """Follow everything in an HDF5 file that leads to something else.

    Raises:
        Refused: Links or values that lie in another file, groups in a circle, too much of anything, damage.
    """
    import h5py

    try:
        handle = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError):
        return  # whoever opens it says what is wrong
    with handle:
        _Walk(os.path.getsize(path)).count(handle, "", ())


def claimed(dataset: h5py.Dataset) -> int:
    """Bytes that a data set, or a chunk of it, takes in memory."""
    cells = dataset.size or 0
    if dataset.chunks:
        chunk = 1
        for n in dataset.chunks:
            chunk *= n
        cells = max(cells, chunk)
    return cells * int(dataset.dtype.itemsize)


class _Walk:
    """Visits every object of a file once.

    Args:
        size: Bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self.size, self.counts = size, dict[int, int]()

    def count(self, item: Any, name: str, above: tuple[int, ...]) -> int:
        """Look at an object and all below it; return how many these are, wherever links lead."""
        import h5py

        try:
            address = h5py.h5o.get_info(item.id).addr
            if address in above:
                raise Refused(f"'{name}' leads back to a group that it is in")
            if len(above) > _DEPTH:
                raise Refused(f"groups in each other, more than {_DEPTH} deep")
            if address not in self.counts:
                self.counts[address] = 1  # of a data set; a group's is known when it was walked
                self._attributes(item)
                if isinstance(item, h5py.Group):
                    self.counts[address] = 1 + self._members(item, name, (*above, address))
                elif isinstance(item, h5py.Dataset):
                    self._dataset(item, name)
            return self.counts[address]
        except (OSError, RuntimeError, KeyError, ValueError, MemoryError) as error:
            if isinstance(error, UnicodeError):  # a name that is no UTF-8: said by whoever reads it
                return 1
            raise Refused(f"damaged: {repr(name) if name else 'it'} cannot be read ({error})") from error
        except TypeError:  # a type that numpy does not have; it may be needed by nobody
            return 1

    def _members(self, group: h5py.Group, name: str, above: tuple[int, ...]) -> int:
        import h5py

        total = 0
        for key in group:
            full = f"{name}/{key}" if name else key
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise Refused(f"'{full}' is a link to another file. Write one file that holds everything itself")
            try:
                item = group[key]
            except KeyError:
                if isinstance(link, h5py.SoftLink):
                    continue  # it leads nowhere: to whoever looks for it, it is not there
                raise
            except RuntimeError as error:
                if isinstance(link, h5py.SoftLink) and "too many links" in str(error):
                    raise Refused(f"'{full}' is a link that leads round and round") from error
                raise
            total += self.count(item, full, above)
            if total > _OBJECTS:
                raise Refused(f"more than {_OBJECTS:,} groups and arrays")
        return total

    def _attributes(self, item: Any) -> None:
        for i, key in enumerate(item.attrs):
            if i >= _ATTRIBUTES:
                raise Refused(f"more than {_ATTRIBUTES:,} attributes of one object")
            with contextlib.suppress(TypeError, UnicodeError):
                item.attrs[key]

    def _dataset(self, dataset: h5py.Dataset, name: str) -> None:
        if dataset.external or dataset.is_virtual:
            raise Refused(f"the values of '{name}' lie in another file. Write one file that holds everything itself")
        filters = dataset.id.get_create_plist()
        for i in range(filters.get_nfilters()):
            if (code := filters.get_filter(i)[0]) in _REFUSED_FILTERS:
                raise Refused(f"'{name}' is packed by the filter {_REFUSED_FILTERS[code]}. Write it with gzip or lzf")
        if dataset.chunks and dataset.shape and hasattr(dataset.id, "chunk_iter"):
            outside: list[int] = []

            def see(chunk: Any) -> bool | None:
                beyond = chunk.byte_offset + chunk.size > self.size
                if beyond:
                    outside.append(chunk.size)
                return True if beyond else None

            dataset.id.chunk_iter(see)
            if outside:
                raise Refused(f"damaged: a part of '{name}' of {outside[0]:,} bytes lies beyond the end of the file")
        if dataset.dtype.hasobject and dataset.shape is not None:
            self._texts(dataset, name)

    def _texts(self, dataset: h5py.Dataset, name: str) -> None:
        """Read what has no fixed length: each value is a pointer into a heap."""
        if claimed(dataset) > 100 * self.size + (1 << 20):
            raise Refused(f"damaged: '{name}' claims {dataset.size:,} texts, which the file cannot hold")
        if not dataset.shape:
            dataset[()]
            return
        step = max(1, _BLOCK * dataset.shape[0] // max(1, dataset.size))
        for start in range(0, dataset.shape[0], step):
            dataset[start : start + step]


_LOOK = {"hdf5": look_at_hdf5, "pickle": look_at_pickle}


def look_here(kind: str, path: str) -> str | None:
    """Look at a file in this process; return why it is refused."""
    try:
        _LOOK[kind](path)
    except Refused as error:
        return str(error)
    except MemoryError:
        return f"damaged: opening it takes more than {_ADDRESSES >> 30} GiB of memory"
    except RecursionError:
        return "parts in each other, too many deep"
    return None


def main() -> None:
    """Answer, for each line of JSON ``[kind, path, seconds]``, with a line: ``null``, or why the file is refused.

    A first line says that it is ready. What takes more seconds of processor time ends the process.
    """
    import h5py  # noqa: F401 - before the first file's time runs

    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides
    timed = hasattr(signal, "setitimer")  # not on Windows
    print("ready", flush=True)
    for line in sys.stdin:
        kind, path, seconds = json.loads(line)
        if timed:
            signal.setitimer(signal.ITIMER_PROF, seconds)
        answer = look_here(kind, path)
        if timed:
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    main()
