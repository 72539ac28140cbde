"""The shipped cluster files are what Ray and KubeRay read; mistakes in files are told in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_hpo.clusters.file import ClusterFile, read_cluster_file
from ray_hpo.errors import InvalidInput
from tests.clusters.kuberay_schema import problems
from tests.clusters.lab.lab import ROOT

FOLDER = ROOT / "cluster"
LAUNCHED = ("cluster.yaml", "gcp.yaml", "local.yaml")
MANIFESTS = ("kuberay.yaml", "kuberay-job.yaml")


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_accepts_the_shipped_files(name: str) -> None:
    file = read_cluster_file(FOLDER / name)
    assert file.name == "sweeps"
    assert file.least_workers == (2 if name == "local.yaml" else 0)


@pytest.mark.parametrize("name", MANIFESTS)
def test_kuberay_accepts_the_shipped_manifests(name: str) -> None:
    assert problems(yaml.safe_load((FOLDER / name).read_text())) == []


@pytest.mark.parametrize(
    ("line", "instead", "told"),
    [
        ("version: v2", "version: v3", "'v3' is not one of"),
        ("maxReplicas: 8", "maxReplica: 8", "'maxReplica' was unexpected"),
        ("minReplicas: 0", "minReplicas: 9", "out of order"),
        ("memory: 8Gi", "memory: 8 GB", "is not valid under any"),
        ("name: sweeps", "name: Sweeps", "does not match"),
        ("backend: rocksdb", "backend: redis", "storage is for the backend rocksdb"),
    ],
)
def test_what_kuberay_refuses(line: str, instead: str, told: str) -> None:
    text = (FOLDER / "kuberay.yaml").read_text()
    assert line in text
    assert told in "\n".join(problems(yaml.safe_load(text.replace(line, instead))))


@pytest.mark.parametrize("name", [*LAUNCHED, *MANIFESTS, "Dockerfile"])
def test_versions_are_pinned_and_agree(name: str) -> None:
    text = (FOLDER / name).read_text()
    ray = re.search(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    ours = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert ray and ours
    assert set(re.findall(r"rayproject/ray:([\d.]+)|ray\[default\]==([\d.]+)|rayVersion: \"([\d.]+)\"", text)) <= {
        (ray[1], "", ""), ("", ray[1], ""), ("", "", ray[1])
    }  # fmt: skip
    assert set(re.findall(r"ray_hpo-([\d.]+)-|ray-hpo:([\d.]+)", text)) <= {(ours[1], ""), ("", ours[1])}
    assert "latest" not in text


@pytest.mark.parametrize("name", [*LAUNCHED, *MANIFESTS])
def test_no_dashboard_is_open_to_others(name: str) -> None:
    assert "0.0.0.0" not in (FOLDER / name).read_text()


LOCAL: dict[str, Any] = {
    "cluster_name": "mine",
    "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2", "10.0.0.3"]},
    "auth": {"ssh_user": "me"},
}


def written(folder: Path, config: Any) -> Path:
    file = folder / "mine.yaml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return file


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("a: [1", "mine.yaml:1: this is no YAML"),
        ("- 1", "is a mapping"),
        ({"apiVersion": "ray.io/v1", "kind": "RayCluster"}, "kubectl apply -f"),
        ({"cluster_name": "mine"}, "provider.type is missing"),
        ({**LOCAL, "provider": {"type": "local", "head_ip": "10.0.0.1"}}, "worker_ips, a list"),
        ({**LOCAL, "provider": {**LOCAL["provider"], "worker_ips": ["10.0.0.1"]}}, "name a machine twice"),
        ({**LOCAL, "min_workers": 1}, "min_workers=1 is below the 2 worker_ips"),
        ({**LOCAL, "head_node_type": "x"}, "head_node_type is for clouds"),
        ({**LOCAL, "max_wrokers": 3}, "'max_wrokers' was unexpected"),
        ({**LOCAL, "idle_timeout_minutes": "soon"}, "idle_timeout_minutes: 'soon' is not of type 'number'"),
        (
            {**LOCAL, "head_start_ray_commands": ["ray start --head --node-ip-address=10.0.0.9"]},
            "has --node-ip-address=10.0.0.9, but head_ip is 10.0.0.1",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path: Path, config: Any, told: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_cluster_file(written(tmp_path, config))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        read_cluster_file(tmp_path / "none.yaml")


def test_how_hosts_are_reached(tmp_path: Path) -> None:
    file = read_cluster_file(written(tmp_path, LOCAL))
    assert file.ssh("10.0.0.2").command()[-1] == "me@10.0.0.2"
    behind: ClusterFile = read_cluster_file(
        written(tmp_path, {**LOCAL, "provider": {**LOCAL["provider"], "external_head_ip": "1.2.3.4"}})
    )
    assert behind.head == "1.2.3.4"
    assert "ProxyCommand=" not in " ".join(behind.ssh("1.2.3.4").command())
    assert "-W %h:%p me@1.2.3.4" in " ".join(behind.ssh("10.0.0.2").command()).replace("'", "")
