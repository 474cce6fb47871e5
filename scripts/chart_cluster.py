"""Runs etcd, kube-apiserver and kube-controller-manager, and a client of their API. For scripts/chart_api.py."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

Object = dict[str, Any]
NAMESPACE: Final = "voice"
PLURALS: Final = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses"}
OF_THE_CLUSTER: Final = {"Namespace", "CustomResourceDefinition", "PriorityClass", "Node"}
OFF: Final = ("node-lifecycle-controller", "node-ipam-controller")
"""Controllers of nodes: nothing but scripts/chart_kubelet.py decides what nodes do."""


def port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _object(text: bytes) -> Object:
    """Parse an answer; probes answer with text."""
    found: Object = json.loads(text) if text[:1] == b"{" else {"message": text.decode()}
    return found


class Api:
    """A client of the API server."""

    def __init__(self, number: int, token: str) -> None:
        self.url, self.token = f"https://127.0.0.1:{number}", token
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # it creates its own certificate
        handlers = urllib.request.HTTPSHandler(context=trust), urllib.request.ProxyHandler({})
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, path: str, body: Object | None = None, method: str = "") -> tuple[int, Object, list[str]]:
        """Send GET, or POST with `body`, or another method; return status, answer and warnings."""
        data = json.dumps(body).encode() if body is not None else None
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        request = urllib.request.Request(self.url + path, data, headers, method=method or None)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, _object(answer.read()), answer.headers.get_all("Warning") or []
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _object(error.read()), []
        except OSError as error:
            return 0, {"message": str(error)}, []

    def items(self, path: str) -> list[Object]:
        """Return the objects of a list. Raises AssertionError if the server does not answer in three attempts."""
        for _ in range(3):  # each has 30 s
            status, answer, _ = self.call(path)
            if status == 200:
                found: list[Object] = answer["items"]
                return found
        raise AssertionError(f"{path}: {status} {answer}")

    def create(self, resource: Object, query: str = "") -> str | None:
        """Create a resource; return the error or warnings, None if there are none."""
        version, kind = resource["apiVersion"], resource["kind"]
        plural = PLURALS.get(kind, f"{kind.lower()}s")
        where = resource["metadata"].get("namespace", NAMESPACE)
        scope = "" if kind in OF_THE_CLUSTER else f"namespaces/{where}/"
        prefix = "api" if "/" not in version else "apis"
        status, answer, warnings = self.call(f"/{prefix}/{version}/{scope}{plural}{query}", resource)
        if status not in (200, 201):
            return f"{status}: {answer.get('message')}"
        return "; ".join(warnings) or None

    def kubeconfig(self, file: Path) -> Path:
        """Write a configuration for Helm and the controllers; return its path."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "admin"}}],
            "current-context": "c",
        }
        file.write_text(yaml.safe_dump(config))
        return file


def _until(api: Api, path: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    """Wait until the path answers; end the program with the server's log if that ends, or does not answer."""
    limit = time.monotonic() + seconds
    while api.call(path)[0] != 200:
        if time.monotonic() > limit or process.poll() is not None:
            sys.exit(log.read_text()[-3000:])
        time.sleep(0.5)


@contextlib.contextmanager
def servers(binaries: Path, folder: Path) -> Iterator[Api]:
    """Run the servers with temporary data in `folder`; `binaries` has their commands."""
    etcd, peer, secure = port(), port(), port()
    api = Api(secure, secrets.token_hex(16))
    (folder / "tokens").write_text(f"{api.token},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "key", "2048"], check=True, capture_output=True)
    commands = {
        "etcd": f"""--data-dir={folder}/etcd --listen-peer-urls=http://127.0.0.1:{peer}
            --listen-client-urls=http://127.0.0.1:{etcd} --advertise-client-urls=http://127.0.0.1:{etcd}""",
        "kube-apiserver": f"""--etcd-servers=http://127.0.0.1:{etcd} --secure-port={secure} --bind-address=127.0.0.1
            --cert-dir={folder}/certs --authorization-mode=RBAC --token-auth-file={folder}/tokens
            --service-account-issuer=https://api --service-account-key-file={folder}/key
            --service-account-signing-key-file={folder}/key --service-cluster-ip-range=10.0.0.0/16""",
        "kube-controller-manager": f"""--kubeconfig={api.kubeconfig(folder / "kubeconfig")} --leader-elect=false
            --secure-port=0 --service-account-private-key-file={folder}/key
            --controllers=*,{",".join(f"-{name}" for name in OFF)}""",
    }
    with contextlib.ExitStack() as stack:
        for name, options in commands.items():
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            process = subprocess.Popen([binaries / name, *options.split()], stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            if name == "kube-apiserver":
                _until(api, "/readyz", process, folder / f"{name}.log")
        # The controllers create this account; without it no pod is admitted.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        _until(api, account, process, folder / "kube-controller-manager.log")
        print(f"Kubernetes {api.call('/version')[1]['gitVersion']}: API server and controllers run")
        yield api
