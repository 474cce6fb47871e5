"""The life of a release on a real API server with controllers: failed and repeated setup, install, upgrade, scaling,
rollback, test, drain. For scripts/chart_api.py; nodes are those of scripts/chart_kubelet.py.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from chart_cluster import NAMESPACE, Api, Object
from chart_kubelet import NODES, Ending, FakeKubelet

CHART: Final = Path(__file__).resolve().parent.parent / "helm" / "conference-pipeline"
NAME: Final = "demo-conference-pipeline"
VALUES: Final = {"replicaCount": "6", "minReadySeconds": "1", "networkPolicy.enabled": "true"}
BY_HAND: Final = (
    "differs: topic conference.events has 6 partitions, not 12\nnothing was changed: change what differs first\n"
)
AWAY: Final = "error: no broker answers at kafka:9092\n"
SCALERS: Final = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
SET: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"


class Release:
    """A release of the chart, by Helm."""

    def __init__(self, api: Api, helm: Path, folder: Path, kubelet: FakeKubelet) -> None:
        self.api, self.kubelet, self._helm = api, kubelet, helm
        config = str(api.kubeconfig(folder / "kubeconfig"))
        self._env = {**os.environ, "KUBECONFIG": config, "HELM_CACHE_HOME": str(folder), "NO_PROXY": "127.0.0.1"}

    def run(self, *arguments: str, fails: bool = False) -> tuple[float, str]:
        """Run a command of Helm; return its seconds and output. Raises AssertionError if it ends unexpectedly."""
        started = time.monotonic()
        command = [str(self._helm), *arguments, "--namespace", NAMESPACE]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        return time.monotonic() - started, output

    def apply(self, verb: str, changes: dict[str, str], *more: str, fails: bool = False) -> tuple[float, str]:
        """Install or upgrade with `VALUES`, changes and more options, and wait."""
        settings = ",".join(f"{name}={value}" for name, value in {**VALUES, **changes}.items())
        variant = str(CHART / "ci" / "minimal-values.yaml")
        return self.run(verb, "demo", str(CHART), "--values", variant, "--set", settings, "--wait", *more, fails=fails)

    def replicas(self) -> int:
        """Return the number of workers that the StatefulSet asks for."""
        return int(self.api.call(SET)[1]["spec"]["replicas"])

    def scale(self, number: int) -> None:
        """Scale as an autoscaler does."""
        path = f"{SET}/scale?fieldManager=kube-controller-manager"
        status, answer, _ = self.api.call(path, {"spec": {"replicas": number}}, "PATCH")
        assert status == 200, answer

    def workers(self) -> list[Object]:
        """Return the pods of the workers."""
        return self.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/component=worker")

    def settle(self, number: int) -> None:
        """Wait until exactly `number` workers are ready."""
        self._until(
            lambda: self.api.call(SET)[1]["status"].get("availableReplicas", 0) == number == len(self.workers())
        )

    def _until(self, holds: Callable[[], bool], seconds: float = 300) -> None:
        limit = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < limit, "not reached"
            time.sleep(0.2)


def failed_setup(release: Release) -> str:
    """Setup ends with 2: helm fails at once and prints why; one pod; the network policy existed before it."""
    kubelet = release.kubelet
    kubelet.count_from_now()
    kubelet.end_next(Ending(2, BY_HAND))
    seconds, output = release.apply("install", {}, fails=True)
    pods = kubelet.pods("setup")
    assert len(pods) == 1, pods
    assert pods[0].policies == [f"{NAME}-setup"], pods
    assert BY_HAND.splitlines()[0] in output, output
    left = release.api.items(f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies")
    assert left == [], "the policy of the failed hook is left"
    release.run("uninstall", "demo")
    return f"helm failed after {seconds:.1f} s and 1 pod, and printed the pod's log"


def repeated_setup(release: Release) -> str:
    """Setup ends with 1 once: the job tries again, and the install succeeds."""
    kubelet = release.kubelet
    kubelet.count_from_now()
    kubelet.end_next(Ending(1, AWAY))
    seconds, _ = release.apply("install", {})
    assert len(kubelet.pods("setup")) == 2
    release.settle(6)
    return f"installed after {seconds:.1f} s and 2 pods of setup; 6 workers are ready"


def upgrade(release: Release) -> str:
    """A changed setting restarts the workers one by one; the network policies do not block it."""
    kubelet = release.kubelet
    kubelet.count_from_now()
    seconds, _ = release.apply("upgrade", {"pipeline.watchdogSeconds": "12"})
    assert kubelet.fewest_ready >= 5, kubelet.fewest_ready
    [setup] = kubelet.pods("setup")
    assert sorted(setup.policies) == [NAME, f"{NAME}-setup"], setup
    assert len(kubelet.pods("worker")) == 6
    return f"6 workers restarted in {seconds:.1f} s, at least {kubelet.fewest_ready} were ready"


def autoscaling(release: Release) -> str:
    """Switching autoscaling on keeps 6 workers; later upgrades and rollbacks keep the autoscaler's number."""
    kubelet = release.kubelet
    kubelet.count_from_now()
    changes = {"autoscaling.mode": "hpa", "autoscaling.maxReplicas": "12", "pipeline.watchdogSeconds": "12"}
    release.apply("upgrade", changes)
    time.sleep(20)  # the autoscaler looks every 15 s
    assert release.replicas() == 6
    assert kubelet.fewest_ready == 6, kubelet.fewest_ready
    release.scale(7)
    release.settle(7)
    for label, number in (("a", 8), ("b", 9)):
        kubelet.end_next(Ending(meanwhile=partial(release.scale, number)))
        release.apply("upgrade", {**changes, "podLabels.a": label})
        assert release.replicas() == number
    release.run("rollback", "demo", "--wait")
    assert release.replicas() == 9
    release.settle(9)
    assert kubelet.fewest_ready >= 6, kubelet.fewest_ready
    return "6 workers stayed 6 for 20 s; 8 and 9, set while hooks ran, stayed in two upgrades and a rollback"


def rollback(release: Release) -> str:
    """A rollback returns to the settings and to the number of workers of a revision without autoscaling."""
    # Without the option it fails on the autoscaler's number, and after a failed rollback Helm forgets the autoscaler.
    seconds, _ = release.run("rollback", "demo", "1", "--wait", "--force-conflicts")
    release.settle(6)
    settings = release.api.call(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}")[1]["data"]
    assert settings["PIPELINE_WATCHDOG_SECONDS"] == "10"
    assert release.api.items(SCALERS) == []
    return f"with --force-conflicts, revision 1 and its 6 workers are back after {seconds:.1f} s"


def autoscaling_off(release: Release) -> str:
    """Switching autoscaling off is a conflict with the autoscaler's number, unless forced."""
    release.apply("upgrade", {"autoscaling.mode": "hpa", "autoscaling.maxReplicas": "12"})
    release.scale(7)
    _, output = release.apply("upgrade", {}, fails=True)
    assert 'conflict with "kube-controller-manager"' in output, output
    assert len(release.api.items(SCALERS)) == 1
    release.apply("upgrade", {}, "--force-conflicts")
    release.settle(6)
    assert release.api.items(SCALERS) == []
    return "refused; with --force-conflicts the workers are replicaCount, 6, and the autoscaler is gone"


def smoke(release: Release) -> str:
    """`helm test` succeeds when its pod does, fails when it does not, and prints the pod's log."""
    release.kubelet.end_next(Ending(1, "no event arrived\n"), Ending(0, "the event arrived\n"))
    _, output = release.run("test", "demo", "--logs", fails=True)
    assert "no event arrived" in output, output
    _, output = release.run("test", "demo", "--logs")
    assert "the event arrived" in output, output
    return "passes, and fails with the log of its pod"


def drain(release: Release) -> str:
    """A drain of every node in turn keeps to the disruption budget."""
    kubelet, refused, evicted = release.kubelet, 0, 0
    kubelet.count_from_now()
    for node in NODES:
        release.api.call(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}}, "PATCH")
        while left := [pod for pod in release.workers() if pod["spec"].get("nodeName") == node]:
            for pod in left:
                metadata = {"name": pod["metadata"]["name"], "namespace": NAMESPACE}
                path = f"/api/v1/namespaces/{NAMESPACE}/pods/{metadata['name']}/eviction"
                status, answer, _ = release.api.call(
                    path, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
                )
                assert status in (201, 404, 429), answer
                refused, evicted = refused + (status == 429), evicted + (status == 201)
            time.sleep(0.2)
        release.api.call(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": False}}, "PATCH")
    release.settle(6)
    assert refused > 0
    assert kubelet.fewest_ready >= 5, kubelet.fewest_ready
    least = f"at least {kubelet.fewest_ready} of 6 workers were ready"
    return f"{len(NODES)} nodes: {evicted} evictions, {refused} refused by the budget; {least}"


def uninstall(release: Release) -> str:
    """Nothing is left."""
    release.run("uninstall", "demo", "--wait")
    kinds = {
        "/api/v1": ("configmaps", "services"),
        "/apis/apps/v1": ("statefulsets",),
        "/apis/autoscaling/v2": ("horizontalpodautoscalers",),
        "/apis/batch/v1": ("jobs",),
        "/apis/networking.k8s.io/v1": ("networkpolicies",),
    }
    left = [
        f"{kind}/{one['metadata']['name']}"
        for path, plurals in kinds.items()
        for kind in plurals
        for one in release.api.items(f"{path}/namespaces/{NAMESPACE}/{kind}")
        if one["metadata"]["name"] != "kube-root-ca.crt"
    ]
    assert left == [], left
    return "nothing is left"


STEPS: Final = (failed_setup, repeated_setup, upgrade, autoscaling, rollback, autoscaling_off, smoke, drain, uninstall)


def live(release: Release) -> None:
    """Do all steps and print their results. Raises AssertionError at the first that fails."""
    for step in STEPS:
        print(f"{step.__name__.replace('_', ' ')}: {step(release)}", flush=True)
