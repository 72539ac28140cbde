"""`ray-hpo cluster` and `ray-hpo submit`: mistakes and failures in one line, and what is said after a submission."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_hpo.cli.main import main
from ray_hpo.clusters.file import read_cluster_file
from ray_hpo.clusters.jobs import how_to_go_on
from ray_hpo.clusters.ssh import Ssh


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A cluster of machines that let nobody in."""
    missing = [name for name in ("ssh", "rsync") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"clusters of own machines need {' and '.join(missing)}")
    file = tmp_path / "nowhere.yaml"
    key = tmp_path / "key"
    key.touch()
    config = {
        "cluster_name": "nowhere",
        "provider": {"type": "local", "head_ip": "127.0.0.8", "worker_ips": ["127.0.0.9"]},
        "auth": {"ssh_user": "nobody", "ssh_private_key": str(key)},
    }
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`ray-hpo` with arguments: its exit code, and the one line on standard error."""

    def run(*arguments: object) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["ray-hpo", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        (line,) = capsys.readouterr().err.splitlines()
        return ended.value.code, line

    return run


@pytest.mark.parametrize("verb", ["up", "status", "down"])
def test_a_file_that_is_not_there(failure: Any, tmp_path: Path, verb: str) -> None:
    code, line = failure("cluster", verb, tmp_path / "none.yaml")
    assert (code, "none.yaml: no such file" in line) == (2, True)


def test_machines_that_cannot_be_reached(failure: Any, nowhere: Path) -> None:
    code, line = failure("cluster", "up", nowhere)
    assert code == 1
    assert "ssh nobody@127.0.0.8 fails: " in line
    assert "ssh nobody@127.0.0.9 fails: " in line


def test_a_key_that_is_not_there(failure: Any, nowhere: Path) -> None:
    nowhere.with_name("key").unlink()
    code, line = failure("cluster", "up", nowhere)
    assert (code, "ssh_private_key: there is no file" in line) == (2, True)


def test_what_is_to_be_copied_is_not_there(failure: Any, nowhere: Path) -> None:
    config = {**yaml.safe_load(nowhere.read_text()), "file_mounts": {"~/a.whl": "dist/none.whl"}}
    nowhere.write_text(yaml.safe_dump(config))
    code, line = failure("cluster", "up", nowhere)
    assert (code, "file_mounts: dist/none.whl (for ~/a.whl) is not there" in line) == (2, True)


def test_a_command_for_clouds_has_no_client(failure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    file = tmp_path / "aws.yaml"
    file.write_text(yaml.safe_dump({"cluster_name": "mine", "provider": {"type": "aws", "region": "us-west-2"}}))
    code, line = failure("cluster", "down", file)
    assert (code, "pip install boto3" in line) == (2, True)


@pytest.mark.parametrize("verb", ["status", "submit"])
def test_a_cluster_that_is_not_up(failure: Any, nowhere: Path, verb: str) -> None:
    words = ("cluster", "status", nowhere) if verb == "status" else ("submit", nowhere, "--", "true")
    code, line = failure(*words)
    assert (code, "no way to the head of cluster nowhere: " in line) == (1, True)


def test_an_address_where_nothing_answers(failure: Any) -> None:
    code, line = failure("submit", "127.0.0.8:9", "--", "true")
    assert (code, "http://127.0.0.8:9: no dashboard of Ray answers there" in line) == (1, True)


def test_nothing_to_submit(failure: Any, nowhere: Path) -> None:
    code, line = failure("submit", nowhere)
    assert (code, "nothing to submit" in line) == (2, True)


def test_a_folder_that_is_not_there(failure: Any, nowhere: Path) -> None:
    code, line = failure("submit", nowhere, "--working-dir", nowhere.with_name("none"), "--", "true")
    assert (code, "no such folder" in line) == (2, True)


def test_what_to_type_next(nowhere: Path) -> None:
    by_file = dict(how_to_go_on(read_cluster_file(nowhere), "job-1"))
    assert by_file["follow"] == f"ray exec {nowhere} 'ray job logs --follow job-1'"
    assert by_file["stop"] == f"ray exec {nowhere} 'ray job stop job-1'"
    assert by_file["resume"].startswith(f"ray-hpo submit {nowhere} -- ray-hpo resume ")
    by_address = dict(how_to_go_on("10.0.0.1:8265", "job-1"))
    assert by_address["follow"] == "ray job logs --follow --address http://10.0.0.1:8265 job-1"


def test_ssh_asks_nothing_and_keeps_nothing() -> None:
    words = Ssh("me", "10.0.0.1", "/key").command()
    assert words[:3] == ["ssh", "-i", "/key"]
    assert {"BatchMode=yes", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"} <= set(words)
