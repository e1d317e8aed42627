"""namedmap.files among hostile files, names and arguments."""

import hashlib
from pathlib import Path

import pytest

import namedmap
from bigfile_support import names
from file_support import needs_root
from namedmap import files

#: Says that it has 4096 bytes, and has fewer.
SYSFS = Path("/sys/kernel/mm/transparent_hugepage/enabled")
needs_sysfs = pytest.mark.skipif(not SYSFS.exists(), reason="needs a file of /sys whose size is a page")


class TestFilesOfTheKernel:
    """Files whose size is not what stat says."""

    @pytest.mark.parametrize("path", ["/proc/version", pytest.param(str(SYSFS), marks=needs_sysfs)])
    def test_they_are_read_to_their_end(self, path: str) -> None:
        """Each function sees what a plain read gives, and not the size that stat tells."""
        content = Path(path).read_bytes()
        found = files.checksum(path)
        assert (found.digest, found.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert b"".join(line.data for line in files.dump(path)) == content
        assert b"".join(bytes(window.buf) for window in files.windows(path, 10)) == content
        assert [match.offset for match in files.search(path, content[-5:])] == [content.rindex(content[-5:])]
        assert files.count(path, b"\n") == content.count(b"\n")

    def test_they_are_compared_by_content(self, tmp_path: Path) -> None:
        """Two files that both say 0 bytes are not equal for that."""
        assert not files.compare("/proc/version", "/proc/self/limits").equal
        (tmp_path / "version").write_bytes(Path("/proc/version").read_bytes())
        assert files.compare("/proc/version", tmp_path / "version").equal

    @needs_sysfs
    @pytest.mark.parametrize("atomic", [False, True])
    def test_a_file_of_sysfs_can_be_copied(self, tmp_path: Path, atomic: bool) -> None:
        """The copy has what there is, not a page."""
        done = files.copy(SYSFS, tmp_path / "b", atomic=atomic, verify="md5")
        content = SYSFS.read_bytes()
        assert (tmp_path / "b").read_bytes() == content
        assert (done.size, done.digest) == (len(content), hashlib.md5(content).hexdigest())

    @needs_root
    def test_memory_of_a_process_is_no_empty_file(self) -> None:
        """What cannot be read from its beginning is an error, and not nothing."""
        with pytest.raises(namedmap.Error, match="cannot read '/proc/self/mem'"):
            files.checksum("/proc/self/mem")

    def test_reading_one_that_goes_on_can_be_cancelled(self, tmp_path: Path) -> None:
        """The caller is asked also while a file without a size is copied."""
        answers = iter([False, True])
        with pytest.raises(files.Cancelled):
            files.copy("/proc/self/limits", tmp_path / "b", cancel=lambda: next(answers))
        assert names(tmp_path) == []
