"""What KubeRay 1.7.0 accepts of a RayCluster and a RayJob, as far as our manifests go: other fields are refused.

Written from the v1 schemas of the custom resource definitions `ray.io_rayclusters.yaml` and `ray.io_rayjobs.yaml` in
helm-chart/kuberay-operator/crds of github.com/ray-project/kuberay at the tag v1.7.0 (Apache-2.0; 900 kB, of which this
keeps the fields that we use, and those beside them), and from the operator's own checks in
ray-operator/controllers/ray/utils/validation.go.
"""

from __future__ import annotations

from typing import Any

import jsonschema


def _object(required: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
YES: dict[str, Any] = {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITY = {
    "anyOf": [
        {"type": "integer"},
        {"type": "string", "pattern": r"^[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$"},
    ]
}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
RESOURCES = _object(limits=QUANTITIES, requests=QUANTITIES)
VARIABLES = _list(_object(("name",), name=TEXT, value=TEXT))

CONTAINER = _object(
    ("name",),
    name=TEXT,
    image=TEXT,
    imagePullPolicy=TEXT,
    command=_list(TEXT),
    args=_list(TEXT),
    env=VARIABLES,
    ports=_list(_object(("containerPort",), name=TEXT, containerPort=WHOLE, protocol=TEXT)),
    resources=RESOURCES,
    volumeMounts=_list(_object(("name", "mountPath"), name=TEXT, mountPath=TEXT, subPath=TEXT, readOnly=YES)),
)
TOLERATION = _object(key=TEXT, operator=TEXT, value=TEXT, effect=TEXT, tolerationSeconds=WHOLE)
TEMPLATE = _object(
    metadata={"type": "object"},
    spec=_object(
        ("containers",),
        containers={**_list(CONTAINER), "minItems": 1},
        nodeSelector=TEXTS,
        tolerations=_list(TOLERATION),
        serviceAccountName=TEXT,
        restartPolicy=TEXT,
        volumes=_list({"type": "object"}),
    ),
)
GROUP: dict[str, Any] = {"rayStartParams": TEXTS, "template": TEMPLATE, "labels": TEXTS, "resources": TEXTS}
CLUSTER = _object(
    ("headGroupSpec",),
    rayVersion=TEXT,
    enableInTreeAutoscaling=YES,
    suspend=YES,
    autoscalerOptions=_object(
        version={"enum": ["v1", "v2"]},
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        idleTimeoutSeconds={"type": "integer", "minimum": 0},
        image=TEXT,
        imagePullPolicy=TEXT,
        env=VARIABLES,
        resources=RESOURCES,
    ),
    authOptions=_object(mode={"enum": ["disabled", "token"]}, secretName=TEXT, enableK8sTokenAuth=YES),
    gcsFaultToleranceOptions=_object(
        backend={"enum": ["redis", "rocksdb"]},
        redisAddress=TEXT,
        externalStorageNamespace=TEXT,
        storage=_object(
            claimName=TEXT,
            size=QUANTITY,
            storageClassName=TEXT,
            accessModes=_list(TEXT),
            subPath=TEXT,
            deletionPolicy={"enum": ["DeleteWithCluster", "Retain"]},
        ),
    ),
    headGroupSpec=_object(("template",), serviceType=TEXT, enableIngress=YES, **GROUP),
    workerGroupSpecs=_list(
        _object(
            ("groupName", "minReplicas", "maxReplicas", "template"),
            groupName=TEXT,
            replicas=WHOLE,
            minReplicas=WHOLE,
            maxReplicas=WHOLE,
            numOfHosts=WHOLE,
            idleTimeoutSeconds=WHOLE,
            priority=WHOLE,
            suspend=YES,
            **GROUP,
        )
    ),
)
JOB = _object(
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    metadata=TEXTS,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    backoffLimit=WHOLE,
    activeDeadlineSeconds=WHOLE,
    preRunningDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes=YES,
    ttlSecondsAfterFinished={"type": "integer", "minimum": 0},
    suspend=YES,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    entrypointResources=TEXT,
    clusterSelector=TEXTS,
    rayClusterSpec=CLUSTER,
)
KINDS = {"RayCluster": CLUSTER, "RayJob": JOB}
NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47}  # the shorter limit, a job's


def problems(manifest: Any) -> list[str]:
    """What KubeRay would refuse in a manifest, in words."""
    kind = manifest.get("kind")
    metadata = _object(("name",), name=NAME, namespace=TEXT, labels=TEXTS, annotations=TEXTS)
    whole = _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "ray.io/v1"},
        kind={"enum": list(KINDS)},
        metadata=metadata,
        spec=KINDS.get(kind, {}),
    )
    validator = jsonschema.Draft202012Validator(whole)
    told = [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(manifest)]
    spec = manifest.get("spec", {})
    cluster = spec.get("rayClusterSpec", {}) if kind == "RayJob" else spec
    return told or [*_cluster_problems(cluster), *(_job_problems(spec) if kind == "RayJob" else [])]


def _cluster_problems(cluster: Any) -> list[str]:
    """What the operator checks beyond the schema."""
    told = []
    groups = [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]
    if cluster.get("autoscalerOptions", {}).get("version") == "v2":
        told += [
            "restartPolicy must be Never or unset with autoscaler v2"
            for group in groups
            if group["template"]["spec"].get("restartPolicy", "Never") != "Never"
        ]
    for group in groups:
        if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & set(group["rayStartParams"]):
            told.append("resources are given twice, in rayStartParams and in resources")
        if not 0 <= group.get("minReplicas", 0) <= group.get("maxReplicas", 0):
            told.append("minReplicas and maxReplicas are out of order")
    survival = cluster.get("gcsFaultToleranceOptions", {})
    variables = {v["name"] for v in groups[0]["template"]["spec"]["containers"][0].get("env", [])}
    if survival.get("backend") == "rocksdb":
        if {"redisAddress", "externalStorageNamespace"} & set(survival):
            told.append("fields of redis with the backend rocksdb")
        if {"RAY_gcs_storage", "RAY_gcs_storage_path"} & variables:
            told.append("the operator sets RAY_gcs_storage itself")
    elif "storage" in survival:
        told.append("storage is for the backend rocksdb")
    if survival and {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD"} & variables:
        told.append("the operator sets the address of redis itself")
    return told


def _job_problems(job: Any) -> list[str]:
    told = []
    if job.get("ttlSecondsAfterFinished") and not job.get("shutdownAfterJobFinishes"):
        told.append("ttlSecondsAfterFinished needs shutdownAfterJobFinishes")
    if job.get("backoffLimit") and job.get("submissionMode") == "InteractiveMode":
        told.append("backoffLimit and InteractiveMode")
    if not job.get("rayClusterSpec") and not job.get("clusterSelector"):
        told.append("one of rayClusterSpec and clusterSelector must be there")
    return told
