"""A fake kubelet and scheduler: gives pods to nodes and reports them as running, ready, or ended with an exit code.

It starts no containers. For scripts/chart_api.py, on the servers of scripts/chart_cluster.py.
"""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from chart_cluster import NAMESPACE, Api, Object, port

COMPONENT: Final = "app.kubernetes.io/component"
POLL_SECONDS: Final = 0.1
START_SECONDS: Final = 0.5
"""From the start of a pod until it is ready, or has ended."""
NODES: Final = ("node-a", "node-b", "node-c")


@dataclass
class Ending:
    """How a pod that does not run for ever ends."""

    code: int = 0
    log: str = ""
    meanwhile: Callable[[], object] = bool
    """Called while it runs."""


@dataclass
class Seen:
    """What was observed of a pod."""

    name: str
    component: str
    policies: list[str]
    """Network policies that selected the pod before it was started."""
    started: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        """Return whether it is time for it to be ready, or to end."""
        return time.monotonic() > self.started + START_SECONDS


class FakeKubelet:
    """Nodes whose pods run as `endings` says; `seen` has each pod, `fewest_ready` the fewest ready workers."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api, self._folder, self._port = api, folder, port()
        self._stop = threading.Event()
        self._endings: deque[Ending] = deque()
        self._logs: dict[str, str] = {}
        self._bound: dict[str, Seen] = {}
        self.seen: list[Seen] = []
        self.fewest_ready = 0

    def end_next(self, *endings: Ending) -> None:
        """End the next pods of `setup` and `helm test` so; later ones succeed."""
        self._endings.extend(endings)

    def count_from_now(self) -> None:
        """Forget what was observed."""
        self.seen = []
        self.fewest_ready = 1 << 30

    def pods(self, component: str) -> list[Seen]:
        """Return the observed pods of a component, oldest first."""
        return [seen for seen in self.seen if seen.component == component]

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeKubelet]:
        """Register the nodes and serve them."""
        endpoint = {"kubeletEndpoint": {"Port": self._port}}
        address = [{"type": "InternalIP", "address": "127.0.0.1"}]
        ready = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        capacity = {"pods": "100", "cpu": "100", "memory": "100Gi"}
        for name in NODES:
            wrong = self._api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
            assert wrong is None, wrong
            status = {"addresses": address, "daemonEndpoints": endpoint, "conditions": ready, "capacity": capacity}
            self._api.call(f"/api/v1/nodes/{name}/status", {"status": status}, "PATCH")
        server = self._log_server()
        threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=self._run)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            server.shutdown()
            server.server_close()
            for thread in threads:
                thread.join()

    def _log_server(self) -> ThreadingHTTPServer:
        """Return a server of the pods' logs, which the API server asks for them."""
        logs = self._logs
        certificate, key = self._folder / "kubelet.crt", self._folder / "kubelet.key"
        options = f"-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=node -out {certificate} -keyout {key}"
        subprocess.run(["openssl", "req", *options.split()], check=True, capture_output=True)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, _, _, pod, *_ = self.path.split("/")  # /containerLogs/NAMESPACE/POD/CONTAINER
                self.send_response(200)
                self.end_headers()
                self.wfile.write(logs.get(pod, "").encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return server

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            pods = self._api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")
            for pod in pods:
                self._step(pod)
            ready = sum(_is_ready(pod) for pod in pods if pod["metadata"]["labels"].get(COMPONENT) == "worker")
            self.fewest_ready = min(self.fewest_ready, ready)

    def _step(self, pod: Object) -> None:
        metadata, status = pod["metadata"], pod["status"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if metadata.get("deletionTimestamp"):
            self._api.call(f"{path}?gracePeriodSeconds=0", method="DELETE")
        elif "nodeName" not in pod["spec"]:
            self._bind(pod, path)
        elif status["phase"] == "Pending":
            self._report(pod, path, "Running", {"running": {"startedAt": _now()}})
        elif status["phase"] == "Running" and not _is_ready(pod) and self._bound[metadata["uid"]].is_due():
            self._started(pod, path)

    def _bind(self, pod: Object, path: str) -> None:
        """Schedule a pod: to the node with the fewest pods that is not cordoned."""
        metadata = pod["metadata"]
        component = metadata["labels"].get(COMPONENT, "")
        seen = self._bound[metadata["uid"]] = Seen(metadata["name"], component, self._policies(metadata["labels"]))
        self.seen.append(seen)
        nodes = [
            one["metadata"]["name"] for one in self._api.items("/api/v1/nodes") if not one["spec"].get("unschedulable")
        ]
        used = [one["spec"].get("nodeName") for one in self._api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")]
        target = {"apiVersion": "v1", "kind": "Node", "name": min(nodes, key=used.count)}
        self._api.call(
            f"{path}/binding",
            {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]}, "target": target},
        )

    def _policies(self, labels: dict[str, str]) -> list[str]:
        policies = self._api.items(f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies")
        return [
            policy["metadata"]["name"]
            for policy in policies
            if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
        ]

    def _started(self, pod: Object, path: str) -> None:
        """Report a worker as ready; end another pod."""
        if pod["spec"]["restartPolicy"] == "Always":
            self._report(pod, path, "Running", {"running": {"startedAt": _now()}}, ready=True)
            return
        ending = self._endings.popleft() if self._endings else Ending()
        ending.meanwhile()
        self._logs[pod["metadata"]["name"]] = ending.log
        phase = "Failed" if ending.code else "Succeeded"
        self._report(pod, path, phase, {"terminated": {"exitCode": ending.code, "finishedAt": _now()}})

    def _report(self, pod: Object, path: str, phase: str, state: Object, *, ready: bool = False) -> None:
        containers = [
            {
                "name": one["name"],
                "image": one["image"],
                "imageID": "",
                "restartCount": 0,
                "ready": ready,
                "state": state,
            }
            for one in pod["spec"]["containers"]
        ]
        truth = "True" if ready else "False"
        conditions = [
            {"type": kind, "status": truth, "lastTransitionTime": _now()} for kind in ("Ready", "ContainersReady")
        ]
        status = {"phase": phase, "startTime": _now(), "conditions": conditions, "containerStatuses": containers}
        self._api.call(f"{path}/status", {"status": status}, "PATCH")


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
