"""Installs the chart into etcd and kube-apiserver, without nodes (scripts/chart_tools.sh api).

    .venv/bin/python scripts/chart_api.py BIN [CRDS]

BIN is the folder printed by scripts/chart_tools.sh. CRDS is a folder with the custom resource definitions of the
Prometheus operator, KEDA and Strimzi; without it, their resources are skipped and listed. Every resource of every
variant, and every pod, is created by a server-side dry run with strict fields, in a namespace that enforces the
restricted Pod Security Standard. Then Helm installs, upgrades and uninstalls one variant.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).resolve().parent.parent / "helm" / "conference-pipeline"
NAMESPACE: Final = "voice"
PLURALS: Final = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses"}
OF_THE_CLUSTER: Final = {"Namespace", "CustomResourceDefinition", "PriorityClass"}
TEMPLATES: Final = {"StatefulSet", "Job"}


def port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _object(text: bytes) -> dict[str, Any]:
    """Parse an answer; probes answer with text."""
    found: dict[str, Any] = json.loads(text) if text[:1] == b"{" else {"message": text.decode()}
    return found


class Api:
    """A client of the API server."""

    def __init__(self, number: int, token: str) -> None:
        self.url, self.token = f"https://127.0.0.1:{number}", token
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # it creates its own certificate
        handlers = urllib.request.HTTPSHandler(context=trust), urllib.request.ProxyHandler({})
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any], list[str]]:
        """Send GET, or POST with `body`; return status, answer and warnings."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, _object(answer.read()), answer.headers.get_all("Warning") or []
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _object(error.read()), []
        except OSError as error:
            return 0, {"message": str(error)}, []

    def create(self, resource: dict[str, Any], query: str = "") -> str | None:
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


@contextlib.contextmanager
def servers(binaries: Path, folder: Path) -> Iterator[Api]:
    """Run etcd and kube-apiserver with temporary data."""
    etcd, peer, secure = port(), port(), port()
    token = secrets.token_hex(16)
    (folder / "tokens").write_text(f"{token},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "key", "2048"], check=True, capture_output=True)
    store = f"""--data-dir={folder}/etcd --listen-peer-urls=http://127.0.0.1:{peer}
        --listen-client-urls=http://127.0.0.1:{etcd} --advertise-client-urls=http://127.0.0.1:{etcd}"""
    # Without controllers, the accounts that the plugin ServiceAccount requires are not created.
    server = f"""--etcd-servers=http://127.0.0.1:{etcd} --secure-port={secure} --bind-address=127.0.0.1
        --cert-dir={folder}/certs --authorization-mode=RBAC --token-auth-file={folder}/tokens
        --service-account-issuer=https://api --service-account-key-file={folder}/key
        --service-account-signing-key-file={folder}/key --service-cluster-ip-range=10.0.0.0/16
        --disable-admission-plugins=ServiceAccount"""
    commands = [[binaries / "etcd", *store.split()], [binaries / "kube-apiserver", *server.split()]]
    with contextlib.ExitStack() as stack:
        for command in commands:
            log = stack.enter_context((folder / f"{Path(command[0]).name}.log").open("w"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        api = Api(secure, token)
        limit = time.monotonic() + 120
        while api.call("/readyz")[0] != 200:
            if time.monotonic() > limit:
                sys.exit((folder / "kube-apiserver.log").read_text()[-3000:])
            time.sleep(0.5)
        print(f"Kubernetes {api.call('/version')[1]['gitVersion']} is up")
        yield api


def prepare(api: Api, crds: Path | None) -> set[str]:
    """Create namespaces that enforce `restricted`, and the definitions; return the kinds that these define."""
    enforced = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    for name in (NAMESPACE, "kafka"):
        metadata = {"name": name, "labels": enforced}
        wrong = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        assert wrong is None, wrong
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}}
    wrong = api.create({**priority, "value": 1})  # a variant uses it
    assert wrong is None, wrong
    kinds = set()
    for file in sorted(crds.glob("*.yaml")) if crds else ():
        for resource in filter(None, yaml.safe_load_all(file.read_text())):
            wrong = api.create(resource)
            assert wrong is None or wrong.startswith(("299", "299 -")), f"{file.name}: {wrong}"
            kinds.add(resource["spec"]["names"]["kind"])
    time.sleep(3)  # until the definitions are served
    return kinds


def pods(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pods that controllers would create for a resource."""
    if resource["kind"] in TEMPLATES:
        template = resource["spec"]["template"]
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": "p"},
            "spec": template["spec"],
        }


def check(api: Api, helm: Path, values: Path, kinds: set[str]) -> list[str]:
    """Create all resources of a variant in a dry run; return the errors."""
    command = [
        helm,
        "template",
        "demo",
        CHART,
        "--namespace",
        NAMESPACE,
        "--values",
        values,
        "--kube-version",
        "1.37",
    ]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wrong, done, left = [], 0, []
    for resource in filter(None, yaml.safe_load_all(rendered)):
        if "." in resource["apiVersion"].partition("/")[0].removesuffix(".k8s.io") and resource["kind"] not in kinds:
            left.append(resource["kind"])
            continue
        for one in (resource, *pods(resource)):
            done += 1
            if problem := api.create(one, "?dryRun=All&fieldValidation=Strict"):
                wrong.append(f"{one['kind']} {one['metadata']['name']}: {problem}")
    name = values.name.removesuffix("-values.yaml")
    print(f"{name}: {done} resources and pods" + (f", skipped {', '.join(sorted(set(left)))}" if left else ""))
    return [f"{name}: {text}" for text in wrong]


def install(api: Api, helm: Path, folder: Path) -> None:
    """Install, upgrade and uninstall, without hooks and waiting: no node runs the pods."""
    user = {"name": "admin", "user": {"token": api.token}}
    cluster = {"name": "c", "cluster": {"server": api.url, "insecure-skip-tls-verify": True}}
    context = {"name": "c", "context": {"cluster": "c", "user": "admin"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [user],
        "contexts": [context],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump({**config, "current-context": "c"}))
    env = {
        **os.environ,
        "KUBECONFIG": str(folder / "kubeconfig"),
        "HELM_CACHE_HOME": str(folder),
        "NO_PROXY": "127.0.0.1",
    }
    common = ["--namespace", NAMESPACE, "--no-hooks"]
    values = ["--values", str(CHART / "ci" / "minimal-values.yaml")]
    for arguments in (
        ["install", "demo", CHART, *values, *common, "--dry-run=server"],
        ["install", "demo", CHART, *values, *common],
        ["upgrade", "demo", CHART, *values, *common, "--set", "replicaCount=5,pipeline.watchdogSeconds=12"],
        ["rollback", "demo", "1", *common],
        ["uninstall", "demo", *common],
    ):
        done = subprocess.run([helm, *arguments], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        print(f"helm {arguments[0]}{' --dry-run=server' if '--dry-run=server' in arguments else ''}: ok")


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    binaries, crds = Path(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else None
    with tempfile.TemporaryDirectory() as scratch, servers(binaries, Path(scratch)) as api:
        kinds = prepare(api, crds)
        wrong = [
            text
            for values in sorted((CHART / "ci").glob("*-values.yaml"))
            for text in check(api, binaries / "helm4", values, kinds)
        ]
        install(api, binaries / "helm4", Path(scratch))
    print("\n".join(wrong) or "all checks passed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
