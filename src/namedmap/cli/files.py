"""copy, dump, search, checksum, compare, patch: `namedmap.files` on the command line."""

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Generator, Iterator
from typing import Any

import click

import namedmap
from namedmap import files, inspection
from namedmap.cli import _app, _output, _running
from namedmap.cli._values import octets, path_or_name, paths_and_names, size, stdin
from namedmap.files.checksums import new_hash

_quiet = click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
_offset = click.option("--offset", type=size, default=0, help="Where to begin.")
_size = click.option("--size", type=size, help="How much of it; else the rest.")
_PIECE = 1 << 20


# -- copy --------------------------------------------------------------------------------------------------------------


@_app.command(
    example="namedmap copy big.iso /mnt/usb/\n"
    "namedmap copy disk.img backup.img --atomic --preserve --verify sha256\n"
    "namedmap copy disk.img backup.img --resume      # after an interruption"
)
@click.argument("src", type=click.Path())
@click.argument("dst", type=click.Path())
@click.option("--atomic", is_flag=True, help="DST is the old one or the whole copy, whatever happens.")
@click.option("--preserve", "-p", is_flag=True, help="Keep mode, times, owner and attributes, as cp -p does.")
@click.option("--verify", metavar="HASH", help="Read the copy again and compare it, by such as sha256.")
@click.option("--resume", is_flag=True, help="Keep what there is if it is interrupted, and go on with it.")
@click.option("--sparse/--no-sparse", default=True, help="Keep holes as holes (the default).")
@click.option("--reflink/--no-reflink", default=True, help="Share blocks where the filesystem can (the default).")
@click.option("--threads", type=click.IntRange(min=1), help="How many copy (1).")
@_quiet
@_app.as_json
def copy(src: str, dst: str, quiet: bool, as_json: bool, **how: Any) -> None:
    """Copy the file SRC to DST, a file or a directory. An error or Ctrl-C leaves no half copy, but with --resume."""
    target = os.path.join(dst, os.path.basename(src)) if os.path.isdir(dst) else dst
    with _output.progress(src, quiet=quiet) as progress:
        done = files.copy(src, target, progress=progress, **how)
    if as_json:
        _output.emit({"source": src, "target": target, **done.as_dict()})
    elif _output.is_terminal() and not quiet:
        rate = f", {_output.size(int(done.size / done.seconds))}/s" if done.seconds > 0 else ""
        holes = f", {_output.size(done.holes)} of them holes" if done.holes else ""
        digest = f", {how['verify']} {done.digest}" if done.digest else ""
        click.echo(f"{_output.size(done.size)}{holes} in {done.seconds:.2f} s{rate} ({done.method}{digest})")


# -- dump --------------------------------------------------------------------------------------------------------------


@_app.command(
    example="namedmap dump disk.img --size 512\n"
    "namedmap dump telemetry --offset 4K --size 64     # shared memory\n"
    "head -c 100 /dev/urandom | namedmap dump -"
)
@click.argument("source", metavar="PATH|NAME|-", shell_complete=paths_and_names)
@_offset
@_size
@click.option("--width", type=click.IntRange(1, 1024), default=16, show_default=True, help="Bytes in a line.")
@click.option("--every", is_flag=True, help="Also lines that repeat the one before, which are else folded into *.")
@_app.as_json
def dump(source: str, offset: int, size: int | None, width: int, every: bool, as_json: bool) -> None:
    """Show bytes as hexadecimal digits and text.

    A word that has a slash in it, or is the path of a file, is a path; else the name of shared memory. --json gives a
    line for each.
    """
    with contextlib.closing(_dump_lines(source, offset, size, width)) as lines:
        if as_json:
            for line in lines:
                click.echo(_output.line(line.as_dict()))
        else:
            _output.hex_dump(lines, every=every)


def _dump_lines(source: str, offset: int, length: int | None, width: int) -> Generator[files.DumpLine, None, None]:
    if source == "-":
        yield from _piped_lines(offset, length, width)
    elif inspection.is_path(source):
        yield from files.dump(source, offset=offset, size=length, width=width)
    else:
        with path_or_name(source), namedmap.open(source, "read") as mapping:
            yield from files.dump(mapping, offset=offset, size=length, width=width)


def _piped_lines(offset: int, length: int | None, width: int) -> Iterator[files.DumpLine]:
    stream = stdin()
    skipped = 0
    while skipped < offset:
        piece = stream.read(min(_PIECE, offset - skipped))
        if not piece:
            return
        skipped += len(piece)
    at, left = offset, sys.maxsize if length is None else length
    while left and (data := stream.read(min(width, left))):
        yield files.DumpLine(at, data, width)
        at, left = at + len(data), left - len(data)


# -- search ------------------------------------------------------------------------------------------------------------


@_app.command(
    example="namedmap search dump.bin password\n"
    "namedmap search dump.bin --hex 'de ad be ef' --count\n"
    "namedmap search log --regex 'error \\d+' --context 20 --limit 5 --json"
)
@click.argument("path", type=click.Path())
@click.argument("text", required=False)
@click.option("--hex", "wanted", type=octets, metavar="DIGITS", help="Bytes to look for.")
@click.option("--regex", "-e", metavar="REGEX", help="A regular expression of Python, over bytes.")
@click.option("--ignore-case", "-i", is_flag=True, help="Of ASCII letters.")
@click.option("--count", "-c", "counting", is_flag=True, help="Only how many there are.")
@_offset
@_size
@click.option("--limit", "-n", type=click.IntRange(min=1), help="End after so many.")
@click.option("--context", type=size, default=0, help="Bytes to show before and after.")
@click.option("--overlap", type=size, default=1 << 16, help="How long a match of --regex can be (64K).")
@_app.as_json
def search(path: str, text: str | None, wanted: bytes | None, regex: str | None, as_json: bool, **given: Any) -> int:
    """Find TEXT, bytes or a regular expression in a file; ends with 1 if there is none.

    Prints offset and match; --json a line for each.
    """
    pattern = _pattern(text, wanted, regex)
    if given.pop("counting"):
        del given["context"]
        return _count(path, pattern, as_json, **given)
    found, matches = False, files.search(path, pattern, **given)
    for match in matches:
        found = True
        if as_json:
            click.echo(_output.line(match.as_dict()))
        else:
            click.echo(f"{match.offset:>12,}  {_readable(match.before)}{_marked(match.bytes)}{_readable(match.after)}")
    _warn_if_incomplete(matches, given["overlap"])
    return 0 if found else _app.FAILED


def _pattern(text: str | None, wanted: bytes | None, regex: str | None) -> bytes | re.Pattern[bytes]:
    given = [each for each in (text, wanted, regex) if each is not None]
    if len(given) != 1:
        raise click.UsageError("say what to look for: TEXT, --hex or --regex, one of them")
    if wanted is not None:
        return wanted
    if regex is None:
        return (text or "").encode("utf-8", "surrogateescape")
    try:
        return re.compile(regex.encode("utf-8", "surrogateescape"))
    except re.error as error:
        raise click.BadParameter(f"{regex!r} is no regular expression: {error}") from None


def _count(path: str, pattern: bytes | re.Pattern[bytes], as_json: bool, limit: int | None, **given: Any) -> int:
    counted: files.Count | files.Matches
    if limit is None:
        counted = files.count(path, pattern, **given)
        number = int(counted)
    else:
        counted = files.search(path, pattern, limit=limit, **given)
        number = sum(1 for _ in counted)
    if as_json:
        _output.emit({"path": path, "count": number, "complete": counted.complete})
    else:
        click.echo(number)
    _warn_if_incomplete(counted, given["overlap"])
    return 0 if number else _app.FAILED


def _warn_if_incomplete(found: "files.Count | files.Matches", overlap: int) -> None:
    if found.uncertain_from is not None:
        _app.warn(
            f"matches that are longer than {overlap:,} bytes may have been missed, the first before byte "
            f"{found.uncertain_from:,}: search with a larger --overlap, or with an expression that matches less"
        )


def _readable(data: bytes) -> str:
    return _output.safe(data.decode("utf-8", "backslashreplace"))


def _marked(data: bytes) -> str:
    return _output.styled(_readable(data), fg="red", bold=True)


# -- checksum ----------------------------------------------------------------------------------------------------------


@_app.command(
    example="namedmap checksum *.iso > SUMS\nnamedmap checksum --check SUMS\n"
    "namedmap checksum -a blake2b disk.img --json"
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(allow_dash=True))
@click.option("--algorithm", "-a", default="sha256", show_default=True, metavar="HASH", help="One that hashlib has.")
@click.option("--check", is_flag=True, help="Each PATH is a list of sums, as this command prints it: verify them.")
@_offset
@_size
@_quiet
@_app.as_json
def checksum(paths: tuple[str, ...], check: bool, quiet: bool, as_json: bool, **given: Any) -> int:
    """Compute the hash of files, in the format of sha256sum; - is stdin. Ends with 1 if a file cannot be read."""
    new_hash(given["algorithm"])
    if check:
        return _check(paths, quiet, as_json, given["algorithm"])
    results = []
    for path in paths:
        found = _sum(path, quiet, given)
        results.append({"path": path, **found})
        if "error" in found:
            _app.warn(found["error"])
        elif not as_json:
            _output.raw(os.fsencode(_sum_line(found["digest"], path)))
    if as_json:
        _output.emit(results)
    return int(any("error" in each for each in results))


def _sum(path: str, quiet: bool, given: dict[str, Any]) -> dict[str, Any]:
    """The content of `as_dict()`, or an "error": the other files have their sums all the same."""
    if path == "-":
        return _sum_of_stdin(given)
    try:
        with _output.progress(path, quiet=quiet) as progress:
            return files.checksum(path, progress=progress, **given).as_dict()
    except namedmap.Error as error:
        return {"error": error.message}


def _sum_of_stdin(given: dict[str, Any]) -> dict[str, Any]:
    if given["offset"] or given["size"] is not None:
        raise click.UsageError("--offset and --size are for files, not for stdin")
    summed, done, stream = new_hash(given["algorithm"]), 0, stdin()
    while piece := stream.read(_PIECE):
        summed.update(piece)
        done += len(piece)
    return {"algorithm": given["algorithm"], "digest": summed.hexdigest(), "size": done}


def _check(lists: tuple[str, ...], quiet: bool, as_json: bool, algorithm: str) -> int:
    """Whether each file of the lists still has its sum."""
    results = []
    for path, wanted in itertools.chain.from_iterable(map(_listed, lists)):
        found = _sum(path, quiet, {"algorithm": algorithm, "offset": 0, "size": None})
        result = found["error"] if "error" in found else "ok" if found["digest"] == wanted.lower() else "differs"
        results.append({"path": path, "result": result})
        if not as_json:
            click.echo(f"{_output.safe(path)}: {_output.safe(result)}")
    if as_json:
        _output.emit(results)
    if not results:
        raise click.ClickException(f"there is no sum in {', '.join(lists)}")
    return int(any(each["result"] != "ok" for each in results))


# A name with a backslash or the end of a line in it is written with backslashes, and one before the sum says so.
_ESCAPES: dict[str, str | int | None] = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def _sum_line(digest: str, path: str) -> str:
    """As sha256sum writes it: the very bytes of the name, but not to a terminal."""
    escaped = path.translate(str.maketrans(_ESCAPES))
    mark = "\\" if escaped != path else ""
    return f"{mark}{digest}  {_output.safe(escaped) if _output.is_terminal() else escaped}\n"


def _listed(path: str) -> Iterator[tuple[str, str]]:
    """(path, sum) of each line. A line that is none of these is not passed over in silence."""
    others = 0
    with contextlib.ExitStack() as stack:
        lines = stdin() if path == "-" else stack.enter_context(open(path, "rb"))
        for line in map(os.fsdecode, lines):
            match = re.fullmatch(r"(\\?)([0-9a-fA-F]+) [ *](.+)", line.rstrip("\n" + os.linesep))
            if match:
                yield _unescaped(match[3]) if match[1] else match[3], match[2]
            elif line.strip() and not line.startswith("#"):
                others += 1
    if others:
        _app.warn(f"{path!r} has {others:,} lines that are no sums, and were passed over")


def _unescaped(text: str) -> str:
    plain = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    return re.sub(r"\\.", lambda match: plain.get(match[0], match[0]), text)


# -- compare, patch ----------------------------------------------------------------------------------------------------


@_app.command(
    example="namedmap compare a.img b.img\nnamedmap compare a.img b.img --first\nnamedmap compare a b -q && echo same"
)
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--first", is_flag=True, help="Only the first difference.")
@_quiet
@_app.as_json
def compare(a: str, b: str, first: bool, quiet: bool, as_json: bool) -> int:
    """Find where two files differ: offset and size of each run of bytes. Ends with 1 if they differ."""
    with _output.progress(f"{a}, {b}", quiet=quiet) as progress:
        found = files.compare(a, b, first_only=first, progress=progress)
    if as_json:
        _output.emit(found.as_dict())
    elif not quiet:
        _show(found)
    return int(not found.equal)


def _show(found: files.Comparison) -> None:
    if found.equal:
        click.echo(f"equal, {_output.size(found.sizes[0])}")
        return
    click.echo(f"they differ from byte {found.first:,} on; they have {found.sizes[0]:,} and {found.sizes[1]:,} bytes")
    if found.ranges:
        _output.table(("OFFSET", "SIZE"), [(f"{offset:,}", f"{length:,}") for offset, length in found.ranges])


@_app.command(
    example="namedmap patch disk.img 0x1fe --hex '55 aa'\n"
    "namedmap patch config.bin 128 'new text' --expect 'old text'\n"
    "printf data | namedmap patch disk.img 4K -"
)
@click.argument("path", type=click.Path())
@click.argument("offset", type=size)
@click.argument("text", required=False)
@click.option("--hex", "wanted", type=octets, metavar="DIGITS", help="The bytes to put there.")
@click.option("--expect", metavar="TEXT", help="Change nothing unless this is there.")
@click.option("--expect-hex", type=octets, metavar="DIGITS", help="The same, as hexadecimal digits.")
@_app.as_json
def patch(
    path: str, offset: int, text: str | None, wanted: bytes | None, expect: str | None, expect_hex: bytes | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Change bytes of a file in place, and print how to undo it. TEXT is -, or the text to put there."""
    if (text is None) == (wanted is None):
        raise click.UsageError("say what to put there: TEXT, - or --hex, one of them")
    if expect is not None and expect_hex is not None:
        raise click.UsageError("--expect and --expect-hex exclude each other")
    data = wanted if wanted is not None else stdin().read() if text == "-" else _encoded(text or "")
    before = expect_hex if expect is None else _encoded(expect)
    done = files.patch(path, offset, data, expect=before)
    if as_json:
        _output.emit(done.as_dict())
        return
    click.echo(f"{len(done.after):,} bytes at {offset:,} were {_digits(done.before)}, are {_digits(done.after)}")
    undo = [
        "namedmap",
        "patch",
        f"./{path}" if path.startswith("-") else path,
        str(offset),
        "--hex",
        done.before.hex(),
        "--expect-hex",
        done.after.hex(),
    ]
    click.echo(f"to undo it: {_output.safe(_running.quoted(undo))}")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _digits(data: bytes) -> str:
    return data.hex(" ") if len(data) <= 32 else f"{data[:32].hex(' ')} …"
