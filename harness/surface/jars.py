"""What a zip holds: a jar with the jars nested in it at any depth, or the lists of packages in another zip.

A zip may follow a script that starts it: Spring Boot's executable jars, PEX and zipapp. Yarn keeps each package
of Node.js as a zip.

Formats: zip (PKWARE's APPNOTE), JAR File Specification, Maven's pom.properties below META-INF/maven. Hostile archives
are bounded: in the size of their directory, in depth, and in the bytes they inflate to.
"""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace

from harness.surface.finding import Ecosystem, Package, Unreadable
from harness.surface.listed import listed

MAGIC = b"PK\x03\x04"
SUFFIXES = (".jar", ".war", ".ear")
_OTHERS = (".pex", ".pyz", ".egg")
_END = b"PK\x05\x06"  # end of central directory record
_LOCATOR = b"PK\x06\x07"  # zip64 end of central directory locator, 20 bytes before it
_MAX_DIRECTORY = 4 << 20  # B of the central directory: about 40 000 files
_MAX_DEPTH = 4
_MAX_DOCUMENT = 1 << 20  # B of a manifest or pom.properties
_MAX_HELD = 96 << 20  # B of nested jars in memory at a time, one inside the other
_BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
    LookupError,
    struct.error,
    zlib.error,
)
_POM = re.compile(r"META-INF/maven/[^/]+/[^/]+/pom\.properties")
_NAME = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.+~-]*)")


def may_be_zip(path: str, head: bytes, *, executable: bool) -> bool:
    """Whether a file with this beginning may be a zip that holds packages: a zip itself, or a script that starts
    one.
    """
    zipped = head[:4] == MAGIC
    if path.endswith((*SUFFIXES, *_OTHERS)):
        return zipped or head[:2] == b"#!"
    return (zipped and _of_yarn(path)) or (executable and head[:2] == b"#!" and "." not in path.rpartition("/")[2])


def is_zip(path: str, data: bytes, *, executable: bool) -> bool:
    """Whether the whole file is such a zip."""
    if not may_be_zip(path, data[:4], executable=executable):
        return False
    return data[:4] == MAGIC or _END in data[-(1 << 16) - 22 :]


def _of_yarn(path: str) -> bool:
    return path.endswith(".zip") and ("/.yarn/" in f"/{path}" or "/berry/cache/" in path)


class Jars:
    """Reads the jars of one image. Limits on the number of files and on inflated bytes bound the total time."""

    def __init__(self) -> None:
        self._files = 1_000_000
        self._inflated = 1 << 30  # B

    def packages(self, data: bytes, name: str) -> tuple[tuple[Package, ...], str]:
        """The libraries of the jar with that file name, and why it (or a nested one) could not be read, "" if it could.

        A jar that holds others is the application, and the others are its libraries.
        """
        reader = _Reader(self)
        found = tuple(reader.read(data, name, "", _MAX_HELD, 0))
        return found, reader.fault

    @property
    def spent(self) -> bool:
        """Whether a limit was reached."""
        return self._files < 0 or self._inflated < 0

    def spend(self, *, files: int = 0, inflated: int = 0) -> bool:
        """Whether that much was left."""
        self._files -= files
        self._inflated -= inflated
        return self._files >= 0 and self._inflated >= 0


class _Reader:
    def __init__(self, limits: Jars) -> None:
        self.fault = ""
        self._limits = limits

    def read(self, data: bytes, name: str, inside: str, room: int, depth: int) -> Iterator[Package]:
        """`room` is how many more bytes of nested jars may be held in memory."""
        try:
            if fault := _too_large(data):
                self.fault = fault
                return
            with zipfile.ZipFile(io.BytesIO(data)) as jar:
                infos = jar.infolist()
                if not self._limits.spend(files=len(infos)):
                    self.fault = "the jars have more files than any real image"
                    return
                if depth == 0 and not name.endswith(SUFFIXES):
                    yield from self._listed(jar, infos)
                    return
                nested = [info for info in infos if info.filename.endswith(SUFFIXES) and not info.is_dir()]
                yield from self._own(jar, infos, name, inside, holds_others=bool(nested))
                for info in nested:
                    if depth + 1 >= _MAX_DEPTH:
                        self.fault = f"jars nested deeper than {_MAX_DEPTH}"
                        return
                    content = self._content(jar, info, room)
                    if content is None or not self._limits.spend(inflated=len(content)):
                        self.fault = "the nested jars have more bytes than Tare reads"
                        return
                    path = f"{inside}!/{info.filename}" if inside else info.filename
                    inner = posixpath.basename(info.filename)
                    yield from self.read(content, inner, path, room - len(content), depth + 1)
        except _BROKEN as error:
            self.fault = f"broken jar: {error}"[:200]

    def _listed(self, jar: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> Iterator[Package]:
        """The packages of the lists in a zip that is not a jar."""
        for info in infos:
            if reader := listed(info.filename):
                content = self._content(jar, info, _MAX_DOCUMENT)
                if content is None or not self._limits.spend(inflated=len(content)):
                    self.fault = "more bytes of package lists than are read"
                    return
                try:
                    yield from (replace(package, inside=info.filename) for package in reader(content))
                except Unreadable as error:
                    self.fault = str(error)

    def _own(
        self, jar: zipfile.ZipFile, infos: list[zipfile.ZipInfo], name: str, inside: str, *, holds_others: bool
    ) -> Iterator[Package]:
        """The packages that the jar declares; a jar with others shaded into it declares several."""
        poms = [info for info in infos if _POM.fullmatch(info.filename)]
        for info in poms:
            properties = _properties(self._content(jar, info, _MAX_DOCUMENT) or b"", "=")
            artifact, version = properties.get("artifactId", ""), properties.get("version", "")
            if artifact and version:
                yield _library(artifact, version, properties.get("groupId", ""), inside, application=holds_others)
        if poms:
            return
        manifest: dict[str, str] = {}
        for info in infos:
            if info.filename == "META-INF/MANIFEST.MF":
                manifest = _properties(self._content(jar, info, _MAX_DOCUMENT) or b"", ":")
        match = _NAME.fullmatch(name.rpartition(".")[0])
        artifact = match["name"] if match else name.rpartition(".")[0]
        stated = (manifest.get(key) for key in ("Implementation-Version", "Bundle-Version", "Specification-Version"))
        version = match["version"] if match else next(filter(None, stated), "")
        # a jar that starts by itself and has no version was built here
        application = holds_others or (not version and "Main-Class" in manifest)
        yield _library(artifact, version, "", inside, application=application)

    @staticmethod
    def _content(jar: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes | None:
        """The file's content; None if it has more than `limit` bytes, whatever its header says."""
        if info.file_size > limit:
            return None
        with jar.open(info) as file:
            content = file.read(limit + 1)
        return content if len(content) <= limit else None


def _too_large(data: bytes) -> str:
    """Check the directory's size first, because zipfile makes an object of every file before their number is known."""
    at = data.rfind(_END, max(0, len(data) - (1 << 16) - 22))
    if at < 0 or len(data) < at + 22:
        return "broken jar: no end of central directory"
    if data[max(0, at - 20) : at].startswith(_LOCATOR):
        return "a zip64 directory"  # which only more than 65 535 files or 4 GiB need
    (size,) = struct.unpack_from("<I", data, at + 12)
    return f"a directory of more than {_MAX_DIRECTORY >> 20} MiB" if size > _MAX_DIRECTORY else ""


def _properties(data: bytes, separator: str) -> dict[str, str]:
    pairs = (line.partition(separator) for line in data.decode("utf-8", "replace").splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs if value}


def _library(name: str, version: str, group: str, inside: str, *, application: bool) -> Package:
    return Package(
        ecosystem=Ecosystem.JAVA, name=name, version=version, group=group, inside=inside, application=application
    )
