"""cluster/cluster.yaml through Ray's real AWS provider, on the AWS that moto makes up: no credentials, no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.clusters.lab.lab import ROOT

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

REGION = "us-west-2"
BUCKET = "my-bucket"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The file as Ray completes it: security group, key pair, subnets, machine image, what machines have.

    In an AWS in this process, with the roles of cluster/aws-roles.yaml.
    """
    from ray.autoscaler import sdk

    home = tmp_path_factory.mktemp("home")  # Ray puts the key that it makes into ~/.ssh
    (home / ".ssh").mkdir()
    with pytest.MonkeyPatch.context() as patched, moto.mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patched.setenv(name, "none")
        patched.setenv("AWS_DEFAULT_REGION", REGION)
        patched.setenv("HOME", str(home))
        boto3.client("cloudformation").create_stack(
            StackName="ray-hpo",
            TemplateBody=(ROOT / "cluster" / "aws-roles.yaml").read_text(),
            Parameters=[{"ParameterKey": "Bucket", "ParameterValue": BUCKET}],
            Capabilities=["CAPABILITY_NAMED_IAM"],
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


def test_machines_may_do_what_they_need(config: Any) -> None:
    """What Ray's role may do beside that, AmazonEC2FullAccess, is AWS's own text, and moto does not attach it."""
    iam = boto3.client("iam")
    for role in ("ray-hpo-head", "ray-hpo-worker"):
        statements = iam.get_role_policy(RoleName=role, PolicyName="bucket")["PolicyDocument"]["Statement"]
        assert {statement["Resource"] for statement in statements} == {
            f"arn:aws:s3:::{BUCKET}",
            f"arn:aws:s3:::{BUCKET}/*",
        }
    own = iam.get_role_policy(RoleName="ray-hpo-head", PolicyName="give-workers-their-role")["PolicyDocument"]
    worker = iam.get_role(RoleName="ray-hpo-worker")["Role"]["Arn"]
    own = yaml.safe_load(str(own))  # moto keeps it as text
    (given,) = own["Statement"]
    assert (given["Action"], given["Resource"]) == ("iam:PassRole", worker)
    assert iam.list_role_policies(RoleName="ray-hpo-worker")["PolicyNames"] == ["bucket"]
