"""Downloads Kafka's jars and the registry into the cache: pinned by SHA-256, in parallel, complete files only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import ssl
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from pipeline.devstack.cache import cache_dir, locked, make_dir
from pipeline.devstack.progress import Progress
from pipeline.errors import ConfigError

ATTEMPTS = 5  # with waits of 0, 1, 2 and 3 seconds between them
MIRROR = "CONFERENCE_PIPELINE_MAVEN_URL"  # environment variable: URL of a mirror of Maven Central
TIMEOUT = 20  # seconds without a byte
_BUNDLE = "REQUESTS_CA_BUNDLE"


class Cancelled(Exception):
    """The caller cancelled the download (Ctrl-C)."""


@dataclass(frozen=True)
class Part:
    """One file in `parts.txt`; `size` in bytes."""

    sha256: str
    size: int
    group: str
    artifact: str
    version: str
    classifier: str
    packaging: str

    @property
    def name(self) -> str:
        """The file name, unique in the list."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.{self.packaging}"


def parts() -> list[Part]:
    """Return the files in `parts.txt`: Kafka with its dependencies, and the registry."""
    found = []
    for line in files("pipeline.devstack").joinpath("parts.txt").read_text().splitlines():
        if not line.startswith("#"):
            sha256, size, coordinate = line.split()
            group, artifact, version, *rest = coordinate.split(":")
            found.append(Part(sha256, int(size), group, artifact, version, "".join(rest[:-1]), rest[-1]))
    return found


def kafka_jars(progress: Progress, cancel: threading.Event) -> list[Path]:
    """Return Kafka's jars in a fixed order; download those that are missing. Raises ConfigError, Cancelled."""
    wanted = [part for part in parts() if part.packaging == "jar"]
    folder = cache_dir() / "downloads" / "kafka"
    with locked(folder.parent / "kafka.lock"):
        if missing := [part for part in wanted if not _whole(folder / part.name, part)]:
            _download(missing, folder, progress, cancel)
    return [folder / part.name for part in wanted]


def registry_app(progress: Progress, cancel: threading.Event) -> Path:
    """Return the registry's start-up jar; download and unpack it if it is missing. Raises ConfigError, Cancelled."""
    [archive] = [part for part in parts() if part.packaging == "tar.gz"]
    root = cache_dir() / "downloads" / "registry"
    home = root / f"{archive.artifact}-{archive.version}"
    with locked(root.parent / "registry.lock"):
        if not home.exists():
            if not _whole(root / archive.name, archive):
                _download([archive], root, progress, cancel)
            progress.say("unpacking the schema registry")
            _unpack(root / archive.name, home)
    return home / "quarkus-run.jar"


def _whole(path: Path, part: Part) -> bool:
    """Return whether the file is complete. It got its final name after the checksum matched: the size is enough."""
    return path.exists() and path.stat().st_size == part.size


def _download(missing: list[Part], folder: Path, progress: Progress, cancel: threading.Event) -> None:
    make_dir(folder)
    for stale in folder.glob(".partial-*"):  # of a killed run: this process holds the lock
        shutil.rmtree(stale, ignore_errors=True)
    progress.add(sum(part.size for part in missing))
    with (
        tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch,
        _system_authorities(),
        ThreadPoolExecutor(6) as pool,
    ):
        fetches = [pool.submit(_fetch, part, folder, Path(scratch), progress, cancel) for part in missing]
        try:
            for fetch in fetches:
                fetch.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(part: Part, folder: Path, scratch: Path, progress: Progress, cancel: threading.Event) -> None:
    """Download one file; it gets its final name once its checksum matches."""
    problem: Exception | None = None
    for attempt in range(ATTEMPTS):
        came = [0]
        try:
            path = _resolve(part, scratch / f"{part.name}-{attempt}", partial(_counter, progress, cancel, came))
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != part.sha256:
                raise OSError(f"has checksum {digest}, expected {part.sha256}")
            os.replace(path, folder / part.name)
            progress.advance(part.size - came[0])
            return
        except Cancelled:
            raise
        except Exception as error:  # jgo and its HTTP layer raise many types; retry for all
            problem = error
            progress.advance(-came[0])
            if cancel.wait(attempt):
                raise Cancelled from error
    raise ConfigError(
        f"cannot download {part.name} ({part.size / 1e6:.0f} MB): {_reason(problem)}; `up` needs the network once: "
        f"try again online (HTTPS_PROXY, SSL_CERT_FILE and {MIRROR} are used), copy {cache_dir() / 'downloads'} from "
        "another machine, or name your own servers in KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL"
    ) from problem


def _reason(error: BaseException | None) -> str:
    """Return the innermost cause in one line: the outer ones are long, and say only what was tried."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        inner = (getattr(error, "reason", None), error.__cause__, *error.args, error.__context__)
        error = next((one for one in inner if isinstance(one, BaseException)), None)
    cause = seen[-1]
    reason = " ".join(str(cause).split())[:300] or type(cause).__name__
    if isinstance(cause, ssl.SSLCertVerificationError):
        trusted = os.environ.get(_BUNDLE, "the certifi package")
        reason += f" (trusted: {trusted}; set SSL_CERT_FILE to a PEM file that has the authority of your TLS proxy)"
    return reason


@contextlib.contextmanager
def _system_authorities() -> Iterator[None]:
    """Let requests, jgo's HTTP layer, trust what the system and SSL_CERT_FILE or SSL_CERT_DIR trust.

    By itself it knows only its own package of authorities, which has none of a TLS proxy. Without authorities of the
    system, or with a choice of the user for requests, nothing changes.
    """
    paths = ssl.get_default_verify_paths()
    chosen = [os.environ.get(name, "") for name in (paths.openssl_cafile_env, paths.openssl_capath_env)]
    places = map(Path, filter(None, [*chosen, paths.openssl_cafile, paths.openssl_capath]))
    trusted = next((str(place) for place in places if place.is_file() or (place.is_dir() and any(place.iterdir()))), "")
    if not trusted or any(os.environ.get(variable) for variable in (_BUNDLE, "CURL_CA_BUNDLE")):
        yield
        return
    os.environ[_BUNDLE] = trusted
    try:
        yield
    finally:
        del os.environ[_BUNDLE]


def _resolve(part: Part, scratch: Path, on_progress: Callable[..., Any]) -> Path:
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(
        resolver=PythonResolver(progress_callback=on_progress),
        repo_cache=scratch,  # never ~/.m2: jgo writes in place, so that a partial file looks complete
        local_repos=[],
        remote_repos={"mirror": os.environ[MIRROR].rstrip("/")} if os.environ.get(MIRROR) else None,
        timeout=TIMEOUT,
    )
    component = context.project(part.group, part.artifact).at_version(part.version)
    return Path(component.artifact(classifier=part.classifier, packaging=part.packaging).resolve())


@contextlib.contextmanager
def _counter(
    progress: Progress, cancel: threading.Event, came: list[int], _name: str, _total: int
) -> Iterator[Callable[[int], None]]:
    """Yield jgo's progress hook; it counts received bytes in `came[0]` and raises Cancelled when `cancel` is set."""

    def count(size: int) -> None:
        if cancel.is_set():
            raise Cancelled
        came[0] += size
        progress.advance(size)

    yield count


def _unpack(archive: Path, home: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=home.parent) as scratch:
        with tarfile.open(archive) as tar:
            # Debian 12's Python 3.11.2 has no filters. The file is pinned, so it needs none.
            if hasattr(tarfile, "data_filter"):  # pragma: no branch
                tar.extraction_filter = tarfile.data_filter
            tar.extractall(scratch)
        os.replace(scratch, home)
        Path(scratch).mkdir()  # for the context manager to remove
    archive.unlink()  # 158 MB that are not needed any more
