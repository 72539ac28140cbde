"""cluster/cluster.yaml through Ray's real AWS provider, on the AWS that moto makes up: no credentials, no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.clusters.lab.lab import ROOT

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
ec2 = pytest.importorskip("moto.ec2.models.instance_types")

REGION = "us-west-2"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The file as Ray completes it: security group, key pair, subnets, machine image, what machines have.

    In an AWS in this process, with the profiles of cluster/aws-roles.yaml: with others Ray would wait for them.
    """
    from ray.autoscaler import sdk

    home = tmp_path_factory.mktemp("home")  # Ray puts the key that it makes into ~/.ssh
    (home / ".ssh").mkdir()
    with pytest.MonkeyPatch.context() as patched, moto.mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patched.setenv(name, "none")
        patched.setenv("AWS_DEFAULT_REGION", REGION)
        patched.setenv("HOME", str(home))
        kinds = [kind for kind in ec2.InstanceTypeBackend.instance_types if kind.name in ("m5.large", "g5.2xlarge")]
        patched.setattr(ec2.InstanceTypeBackend, "instance_types", kinds)  # Ray reads the list of all, some 800
        for resource in roles().values():
            if resource["Type"] == "AWS::IAM::InstanceProfile":
                boto3.client("iam").create_instance_profile(
                    InstanceProfileName=resource["Properties"]["InstanceProfileName"]
                )
        yield sdk.bootstrap_config(
            yaml.safe_load((ROOT / "cluster" / "cluster.yaml").read_text()), no_config_cache=True
        )


def started(config: Any, kind: str) -> Any:
    """A machine of that type, as Ray's launcher starts it."""
    from ray.autoscaler._private.providers import _get_node_provider
    from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

    provider = _get_node_provider(config["provider"], config["cluster_name"])
    tags = {TAG_RAY_NODE_KIND: "head" if kind == "head" else "worker", TAG_RAY_USER_NODE_TYPE: kind}
    provider.create_node(config["available_node_types"][kind]["node_config"], tags, 1)
    (node,) = provider.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: kind})
    (reservation,) = boto3.client("ec2").describe_instances(InstanceIds=[node])["Reservations"]
    provider.terminate_node(node)
    (machine,) = reservation["Instances"]
    assert provider.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: kind}) == []
    return machine


def test_the_head_is_a_machine_on_demand_that_starts_others(config: Any) -> None:
    head = started(config, "head")
    assert head["InstanceType"] == "m5.large"
    assert "InstanceLifecycle" not in head
    assert head["IamInstanceProfile"]["Arn"].endswith(":instance-profile/ray-hpo-head")
    assert config["available_node_types"]["head"]["resources"]["CPU"] == 0


def test_workers_are_spot_machines_with_a_gpu(config: Any) -> None:
    worker = started(config, "worker")
    assert worker["InstanceType"] == "g5.2xlarge"
    assert worker["InstanceLifecycle"] == "spot"
    assert worker["IamInstanceProfile"]["Arn"].endswith(":instance-profile/ray-hpo-worker")
    resources = config["available_node_types"]["worker"]["resources"]
    assert (resources["CPU"], resources["GPU"]) == (8, 1)
    zones = {
        subnet["AvailabilityZone"]
        for subnet in boto3.client("ec2").describe_subnets(
            SubnetIds=config["available_node_types"]["worker"]["node_config"]["SubnetIds"]
        )["Subnets"]
    }
    assert zones == {f"{REGION}{letter}" for letter in "abc"}


def test_only_ssh_is_open_to_the_world(config: Any) -> None:
    (group,) = {
        group for kind in config["available_node_types"].values() for group in kind["node_config"]["SecurityGroupIds"]
    }
    (found,) = boto3.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    open_ports = {
        (rule.get("FromPort"), rule.get("ToPort"))
        for rule in found["IpPermissions"]
        if any(block["CidrIp"] == "0.0.0.0/0" for block in rule["IpRanges"])
    }
    assert open_ports == {(22, 22)}


def roles() -> Any:
    """What cluster/aws-roles.yaml makes, by name; a reference to something is its name."""

    class Loader(yaml.SafeLoader):
        pass

    for tag in ("!Ref", "!Sub", "!GetAtt"):
        Loader.add_constructor(tag, lambda loader, node: node.value)
    return yaml.load((ROOT / "cluster" / "aws-roles.yaml").read_text(), Loader)["Resources"]


def test_machines_may_do_what_they_need() -> None:
    made = {name: resource["Properties"] for name, resource in roles().items()}
    bucket = {statement["Resource"] for statement in made["BucketPolicy"]["PolicyDocument"]["Statement"]}
    assert bucket == {"arn:aws:s3:::${Bucket}", "arn:aws:s3:::${Bucket}/*"}
    assert set(made["BucketPolicy"]["Roles"]) == {"HeadRole", "WorkerRole"}
    assert made["HeadRole"]["ManagedPolicyArns"] == ["arn:aws:iam::aws:policy/AmazonEC2FullAccess"]
    (given,) = made["HeadRole"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert (given["Action"], given["Resource"]) == ("iam:PassRole", "WorkerRole.Arn")
    assert not {"Policies", "ManagedPolicyArns"} & set(made["WorkerRole"])
    assert {made[f"{kind}Profile"]["Roles"][0] for kind in ("Head", "Worker")} == {"HeadRole", "WorkerRole"}
