"""Views and mappings at their edges: impossible sizes, nothing at all, what is read-only, what is closed."""

import ctypes
import gc
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import namedmap


@pytest.fixture(params=["memory", "file"])
def mapping(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[namedmap.FileMapping]:
    if request.param == "memory":
        made = namedmap.create("failing", 100)
    else:
        (tmp_path / "file").write_bytes(bytes(100))
        made = namedmap.map_file(tmp_path / "file", access="write", name="failing")
    with made:
        yield made


def test_stores_into_a_reader_are_one_error(mapping: namedmap.FileMapping) -> None:
    """Memory and files answer alike, with the remedy; as PermissionError, and as TypeError as a memoryview does."""
    with mapping.view(access="read") as view:
        for key, value in ((0, 1), (slice(0, 1), b"1"), (slice(0, 2, 2), b"1")):
            with pytest.raises(namedmap.ReadOnlyError, match='access="write"') as caught:
                view[key] = value
        assert isinstance(caught.value, PermissionError)
        assert isinstance(caught.value, TypeError)
        with pytest.raises(namedmap.ReadOnlyError, match='access="write"'):
            view.write(0, b"1")


def test_empty_search_beyond_the_end(mapping: namedmap.FileMapping) -> None:
    """bytes(100).find(b"", 101) is -1."""
    with mapping.view() as view:
        assert view.find(b"", 101) == bytes(100).find(b"", 101) == -1
        assert view.rfind(b"", 101) == bytes(100).rfind(b"", 101) == -1


def test_a_closed_view_cannot_be_sent(mapping: namedmap.FileMapping) -> None:
    """Rather than come out of the pickle open."""
    view = mapping.view()
    view.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(view)


def test_an_unpickled_view_owns_its_mapping(mapping: namedmap.FileMapping) -> None:
    """A receiver that closes, or drops, the view that it was sent has nothing else to close."""
    with mapping.view() as view, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pickle.loads(pickle.dumps(view)).close()
        gc.collect()
    assert [str(each.message) for each in caught] == []


@pytest.mark.parametrize("size", [-5, 1 << 63, 1 << 70])
@pytest.mark.parametrize("sparse", [True, False])
def test_impossible_file_sizes(tmp_path: Path, size: Any, sparse: bool) -> None:
    """Are one kind of error, which gives the size as it was asked for."""
    (tmp_path / "file").write_bytes(bytes(100))
    with pytest.raises(namedmap.BadValueError, match=f"{size:,}"):
        namedmap.map_file(tmp_path / "file", size, "write", sparse=sparse)


@pytest.mark.parametrize("size", ["9", 2.5])
def test_sizes_are_ints(tmp_path: Path, size: Any) -> None:
    """Nothing else is taken for one."""
    (tmp_path / "file").write_bytes(bytes(100))
    with pytest.raises(TypeError, match="integer"):
        namedmap.map_file(tmp_path / "file", size)


@pytest.mark.parametrize("sparse", [True, False])
def test_a_reader_cannot_grow(tmp_path: Path, sparse: bool) -> None:
    """Neither sparsely nor otherwise; the message says what to ask for. A size that the file has is no growth."""
    (tmp_path / "file").write_bytes(bytes(100))
    with pytest.raises(namedmap.AccessDeniedError, match='access="write"'):
        namedmap.map_file(tmp_path / "file", 200, sparse=sparse)
    with namedmap.map_file(tmp_path / "file", 100, sparse=sparse) as mapping:
        assert mapping.size == 100


def test_what_is_no_file(tmp_path: Path) -> None:
    """A directory, nothing, nothing in no directory, what cannot be mapped: each says so, as the builtin that fits."""
    for path, error, text in (
        (tmp_path, PermissionError, "is a directory"),
        (tmp_path / "none", FileNotFoundError, "there is no file"),
        (tmp_path / "none" / "none", FileNotFoundError, "there is no directory"),
        (Path("/dev/full"), namedmap.Error, "cannot map files"),
    ):
        size = 4096 if path.name == "full" else None
        with pytest.raises(error, match=text), namedmap.map_file(path, size, "write") as mapping:
            mapping.view()


def test_paths_are_any(tmp_path: Path) -> None:
    """str, bytes, os.PathLike; the mapping says where it is as a str."""
    path = tmp_path / "f\udcff"
    path.write_bytes(b"x")
    for each in (path, str(path), os.fsencode(path)):
        with namedmap.map_file(each) as mapping:
            assert mapping.path == str(path)


def test_a_failure_leaves_no_new_file(tmp_path: Path) -> None:
    """create=True with no size, or as a reader, is refused."""
    for size, access in ((None, "write"), (10, "read")):
        with pytest.raises(namedmap.Error):
            namedmap.map_file(tmp_path / "file", size, access, create=True)
        assert not (tmp_path / "file").exists()


def test_residency_of_nothing(mapping: namedmap.FileMapping) -> None:
    """Of no bytes in the middle of a page there is no page."""
    with mapping.view() as view:
        assert view.residency(5, 0) == view.residency(100) == b""


def test_refused_extension_names_the_object(tmp_path: Path) -> None:
    """And says what to ask for."""
    (tmp_path / "file").write_bytes(bytes(100))
    denied = pytest.raises(namedmap.AccessDeniedError, match=r'file.*access="write"')
    with namedmap.map_file(tmp_path / "file") as mapping, denied:
        mapping.extend(200)


def test_a_reader_whose_mapping_is_closed(mapping: namedmap.FileMapping) -> None:
    """An overlay of a read-only view, and a durable flush, need the mapping, which closing takes from nobody."""
    with namedmap.open("failing", "read") as other:
        view = other.view()
    assert view.overlay(ctypes.c_uint32).value == 0
    view.flush(durable=True)


def test_read_only_arrays_stay_so(mapping: namedmap.FileMapping) -> None:
    """Nobody can make them writable: a store would end the process."""
    pytest.importorskip("numpy")
    with mapping.view(access="read") as view:
        array = view.array()
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def test_names_of_files_are_those_of_the_system(tmp_path: Path) -> None:
    """A backslash in a path is a character, and so is what Win32 refuses, in a str as well."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"wrong")
    for name in ("a\\b", "*?<>|:", "C:\\x", "\\\\server\\share"):
        (tmp_path / name).write_bytes(b"right")
        for path in (str(tmp_path / name), os.fsencode(tmp_path / name), tmp_path / name):
            with namedmap.map_file(path) as mapping, mapping.view() as view:
                assert view[:] == b"right"
    with pytest.raises(namedmap.NotFoundError):
        namedmap.map_file("")


def test_a_store_against_the_protection(mapping: namedmap.FileMapping) -> None:
    """Once a view has been protected its methods raise where a touch is a signal."""
    with mapping.view() as view:
        view.protect("read")
        for key, value in ((0, 1), (slice(0, 2), b"ab")):
            with pytest.raises(namedmap.PageError, match="protect"):
                view[key] = value
        with pytest.raises(namedmap.PageError, match="protect"):
            view.write(0, b"abc")
        assert view[:3] == bytes(3)
        view.protect("write")
        view[:3] = b"abc"
        with mapping.view() as other:
            assert view[:3] == other[:3] == b"abc"


def test_a_view_that_was_made_a_copy(mapping: namedmap.FileMapping) -> None:
    """Bytes that are stored then are seen here, and by nobody else."""
    with mapping.view() as view, mapping.view() as other:
        view.protect("copy")
        view[:3] = b"abc"
        assert (view[:3], view.read(0, 3), other[:3]) == (b"abc", b"abc", bytes(3))


def test_containment(mapping: namedmap.FileMapping) -> None:
    """Of numbers and of bytes, as in a bytearray."""
    with mapping.view() as view:
        view[50:55] = b"hello"
        model = bytearray(view)
        for wanted in (0, 104, 1, b"ell", b"", b"elk", bytearray(b"lo"), b"h"):
            assert (wanted in view) == (wanted in model)
        for wrong in (256, -1):
            with pytest.raises(ValueError, match="range"):
                assert wrong in view
        with pytest.raises(TypeError):
            assert "hello" in view
    with pytest.raises(ValueError, match="closed"):
        assert 0 in view


def test_search_from_none(mapping: namedmap.FileMapping) -> None:
    """None stands for the ends, as for bytes."""
    with mapping.view() as view:
        assert (view.find(b"\0", None, None), view.rfind(b"\0", None, None)) == (0, 99)


def test_a_closed_view_has_no_slices(mapping: namedmap.FileMapping) -> None:
    """Not even empty ones, nor a stream."""
    view = mapping.view()
    view.close()
    with pytest.raises(ValueError, match="closed"):
        assert not view[5:5]
    with pytest.raises(ValueError, match="closed"):
        view[5:5] = b""
    with pytest.raises(ValueError, match="closed"):
        view.stream()


def test_beyond_the_end(mapping: namedmap.FileMapping) -> None:
    """The message does not speak of less than nothing."""
    with pytest.raises(namedmap.BadValueError) as caught:
        mapping.view(1 << 70)
    assert "-" not in caught.value.message.replace("edge-", "")


class _Inner(ctypes.Structure):
    _fields_: ClassVar[Any] = [("held", ctypes.py_object * 2)]


class _Outer(_Inner):
    _fields_: ClassVar[Any] = [("number", ctypes.c_int)]


class _Either(ctypes.Union):
    _fields_: ClassVar[Any] = [("number", ctypes.c_int), ("inner", _Inner)]


@pytest.mark.parametrize("layout", [ctypes.py_object, ctypes.py_object * 3, _Inner, _Outer, _Either, _Either * 2])
def test_python_objects_are_no_overlay(mapping: namedmap.FileMapping, layout: Any) -> None:
    """A look at an address that another process has written would be a crash; addresses as numbers are no harm."""
    with mapping.view() as view:
        with pytest.raises(TypeError, match="Python objects"):
            view.overlay(layout)
        assert not view.overlay(ctypes.c_void_p)


def test_a_file_that_cannot_grow_is_named(tmp_path: Path) -> None:
    """The message of a failed extension says which file it is of."""
    (tmp_path / "file").write_bytes(bytes(100))
    with namedmap.map_file(tmp_path / "file", access="write") as mapping, pytest.raises(namedmap.Error, match="/file'"):
        mapping.extend(1 << 62)


def test_streams_that_are_no_archive(mapping: namedmap.FileMapping) -> None:
    """A seek before the beginning is an OSError, as of a file, and a ValueError, as of memory."""
    with mapping.view(0, 10) as view, view.stream() as stream:
        assert not zipfile.is_zipfile(stream)
        for kind in (OSError, ValueError):
            with pytest.raises(kind, match="no byte"):
                stream.seek(-1)
