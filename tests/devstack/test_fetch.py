"""pipeline/devstack/fetch.py and progress.py: complete and pinned files, cancellation, progress output."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from pipeline.devstack import cache, fetch, terminal_progress
from pipeline.devstack.progress import Lines, Progress
from pipeline.errors import ConfigError
from tests.support.fronts import Answer, Asked, serve
from tests.support.secured import Authority


def test_offline_error_names_the_remedy_and_leaves_no_partial_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(cache.ENV, str(tmp_path))
    monkeypatch.setenv(fetch.MIRROR, "http://127.0.0.1:9")  # the discard port refuses connections
    with pytest.raises(ConfigError, match=r"cannot download .* online .* copy .* KAFKA_BOOTSTRAP_SERVERS"):
        fetch.registry_app(Progress(), threading.Event())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["downloads", "registry", "registry.lock"]


def test_file_with_another_checksum_is_rejected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The mirror answers every request with the same bytes."""
    (served := tmp_path / "served").mkdir()
    part = next(one for one in fetch.parts() if one.artifact == "jspecify")
    monkeypatch.setenv(cache.ENV, str(tmp_path / "cache"))
    script = (
        "import http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.send_header('content-length', '4'); self.end_headers()\n"
        "        self.wfile.write(b'fake')\n"
        "    def log_message(self, *_): pass\n"
        "s = h.ThreadingHTTPServer(('127.0.0.1', 0), H); print(s.server_port, flush=True); s.serve_forever()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=served) as server:
        try:
            assert server.stdout
            monkeypatch.setenv(fetch.MIRROR, f"http://127.0.0.1:{int(server.stdout.readline())}")
            shown = io.StringIO()
            target = tmp_path / "cache" / "target"
            with pytest.raises(ConfigError, match="checksum"):
                fetch._download([part], target, Lines(shown), threading.Event())
            assert list(target.iterdir()) == []
            assert "MB" in shown.getvalue()
        finally:
            server.send_signal(signal.SIGKILL)


@pytest.fixture
def no_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No choice of authorities in the environment, except for an empty folder as the system's."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "certs").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    return monkeypatch


@pytest.mark.parametrize("trust", ["file", "folder", "none", "other"])
def test_authorities_of_the_system_are_trusted(no_bundle: pytest.MonkeyPatch, tmp_path: Path, trust: str) -> None:
    """A mirror whose certificate is signed by a private authority, as behind a TLS proxy."""
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign("mirror")[:2])
    if trust == "folder":
        done = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", authority.ca], capture_output=True, check=True
        )
        (tmp_path / "certs" / f"{done.stdout.decode().strip()}.0").write_text(Path(authority.ca).read_text())
    elif trust != "none":
        no_bundle.setenv("SSL_CERT_FILE", {"file": authority.ca, "other": other.ca}[trust])
    no_bundle.setattr(fetch, "ATTEMPTS", 1)
    part = fetch.Part(hashlib.sha256(b"classes").hexdigest(), 7, "org.x", "thing", "1", "", "jar")
    with serve(lambda asked: (200, b"classes") if asked.path.endswith(".jar") else (404, b""), context) as url:
        no_bundle.setenv(fetch.MIRROR, url)
        if trust in ("file", "folder"):
            fetch._download([part], tmp_path / "target", Progress(), threading.Event())
            assert (tmp_path / "target" / part.name).read_bytes() == b"classes"
        else:
            with pytest.raises(ConfigError) as caught:
                fetch._download([part], tmp_path / "target", Progress(), threading.Event())
            text = str(caught.value)
            assert "certificate verify failed" in text, "the cause is shown"
            assert "set SSL_CERT_FILE to a PEM file that has the authority of your TLS proxy" in text
            assert f"trusted: {other.ca if trust == 'other' else ''}" in text
            assert "\n" not in text
    assert "REQUESTS_CA_BUNDLE" not in os.environ


def test_a_bundle_for_requests_is_kept(no_bundle: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_bundle.setenv("REQUESTS_CA_BUNDLE", "mine.pem")
    with fetch._system_authorities():
        assert os.environ["REQUESTS_CA_BUNDLE"] == "mine.pem"
    assert os.environ["REQUESTS_CA_BUNDLE"] == "mine.pem"


@pytest.mark.broker
def test_mirror_is_used_and_complete_files_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = next(one for one in fetch.parts() if one.artifact == "jspecify")
    jar = next(one for one in fetch.kafka_jars(Progress(), threading.Event()) if one.name == part.name)
    served = tmp_path / "org/jspecify/jspecify" / part.version
    served.mkdir(parents=True)
    (served / part.name).write_bytes(jar.read_bytes())
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, text=True
    ) as server:
        try:
            assert server.stdout
            port = server.stdout.readline().split(" port ")[1].split()[0]
            monkeypatch.setenv(fetch.MIRROR, f"http://127.0.0.1:{port}/")
            target, shown = tmp_path / "target", io.StringIO()
            fetch._download([part], target, Lines(shown), threading.Event())
            assert [path.name for path in target.iterdir()] == [part.name]
            assert fetch._whole(target / part.name, part)
            assert len(shown.getvalue().splitlines()) == 1
        finally:
            server.send_signal(signal.SIGKILL)


def test_missing_files_are_downloaded_and_unpacked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("quarkus-run.jar"))
    content = {"jar": b"classes", "tar.gz": unpacked.getvalue()}
    parts = [
        fetch.Part(hashlib.sha256(data).hexdigest(), len(data), "org.x", "thing", "1", "", packaging)
        for packaging, data in content.items()
    ]
    asked: list[str] = []

    def answer(request: Asked) -> Answer:
        asked.append(request.path)
        name, _, packaging = request.path.rpartition("/")[2].partition("-1.")
        return (200, content[packaging]) if name == "thing" and packaging in content else (404, b"")

    monkeypatch.setattr(fetch, "parts", lambda: parts)
    monkeypatch.setenv(cache.ENV, str(tmp_path))
    (stale := tmp_path / "downloads" / "kafka" / ".partial-of-a-killed-run").mkdir(parents=True)
    with serve(answer) as url:
        monkeypatch.setenv(fetch.MIRROR, url)
        [jar] = fetch.kafka_jars(Progress(), threading.Event())
        app = fetch.registry_app(Progress(), threading.Event())
        assert jar.read_bytes() == b"classes"
        assert not stale.exists()
        assert app.is_file()
        assert [path.name for path in app.parent.parent.iterdir()] == ["thing-1"], "the archive is not kept"
        came = len(asked)
        assert fetch.kafka_jars(Progress(), threading.Event()) == [jar]
        assert fetch.registry_app(Progress(), threading.Event()) == app
        assert len(asked) == came


@pytest.mark.parametrize("status", [200, 503])
def test_cancelled_download_is_not_retried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int) -> None:
    cancel, asked = threading.Event(), []

    def answer(request: Asked) -> Answer:
        asked.append(request.path)
        cancel.set()
        return status, b"four"

    part = fetch.Part("0" * 64, 4, "org.x", "thing", "1", "", "jar")
    with serve(answer) as url:
        monkeypatch.setenv(fetch.MIRROR, url)
        with pytest.raises(fetch.Cancelled):
            fetch._download([part], tmp_path / "target", Progress(), cancel)
    assert len({path for path in asked if path.endswith(".jar")}) <= 1
    assert list((tmp_path / "target").iterdir()) == []


def test_archive_is_unpacked_and_deleted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "file", "inner/file")
    fetch._unpack(tmp_path / "archive.tar.gz", tmp_path / "home")
    assert (tmp_path / "home" / "inner" / "file").read_text() == "content"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home"]


def test_cancel_stops_a_running_download(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(fetch.Cancelled), fetch._counter(Progress(), cancel, [0], "x", 1) as count:
        count(1)


def test_progress_prints_lines_without_a_terminal() -> None:
    stream = io.StringIO()
    with terminal_progress(stream) as progress:
        progress.add(2_000_000)
        progress.say("starting")
        progress.advance(1_000_000)
        progress.advance(500_000)  # too soon for another line
        progress.advance(500_000)
    assert stream.getvalue().splitlines() == ["starting", "downloaded 1 of 2 MB", "downloaded 2 of 2 MB"]


def test_progress_shows_a_bar_on_a_terminal() -> None:
    script = (
        "from pipeline.devstack import terminal_progress\n"
        "with terminal_progress() as p: p.add(2_000_000); p.say('starting'); p.advance(2_000_000)\n"
    )
    leader, follower = os.openpty()
    subprocess.run(
        [sys.executable, "-c", script],
        stderr=follower,
        check=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "starting" in shown
    assert "2.0/2.0 MB" in shown
