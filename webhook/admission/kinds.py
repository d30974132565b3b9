"""Kinds: where an object keeps the templates of its pods, and where the annotations of those pods stand.

One table, of what is known.  A path is written as in ``spec.tasks.*.template``; ``*`` stands for every item of a list,
and for every value of a mapping.  Of a kind that is not here, nothing is known: it may still have pod templates.
"""

from __future__ import annotations

from dataclasses import dataclass

from webhook.slices.request import ANNOTATION

METADATA = "metadata.annotations"
"""The annotations of the object itself."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an object for which its controller makes pods without a template."""

    path: str
    number: str = ""
    """Its field with how many pods there are at once; empty if it is one."""
    container: str = "main"
    """The name of the container that is meant where none is named."""
    annotations: str = "annotations"
    """Its field with the annotations of its pods."""
    pod: str = ""
    """Its field with what is written of their spec; empty if that stands in the part itself."""
    resources: str = "resources"
    """Its field with the resources of its container, where that does not stand in the spec."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object that creates pods."""

    group: str
    """API group; empty for the core group."""
    name: str
    source: str
    """Where this can be read."""
    templates: tuple[str, ...] = ()
    """Paths of its pod templates; none if it makes pods in another way."""
    passed_on: tuple[str, ...] = ()
    """Paths of annotations that its controller gives to its pods, other than those in the metadata of templates."""
    dropped: tuple[str, ...] = ()
    """Parts of keys; annotations with such a key are not passed on."""
    settings: tuple[str, ...] = ()
    """Paths of mappings of Spark's properties: see `spark_key`."""
    parts: tuple[Part, ...] = ()
    """What is known of how many pods it has, where they have no template."""
    ignored: bool = False
    """Whether the annotations in the metadata of its templates do not reach a pod."""
    complete: bool = True
    """Whether annotations in no other place reach a pod."""
    printed_by: str = ""
    """A command that prints the objects that it stands for."""
    only_container: str = ""
    """The name that its controller gives to the only container if it has none."""

    @property
    def annotations(self) -> tuple[str, ...]:
        """Paths of the mappings from which its pods get their annotations, the best first."""
        inner = () if self.ignored else tuple(f"{template}.{METADATA}" for template in self.templates)
        return inner + self.passed_on


_API = "https://github.com/kubernetes/api/blob/master"
_TEMPLATE = ("spec.template",)
_TRAINING = "https://github.com/kubeflow/trainer/blob/release-1.9/pkg/apis/kubeflow.org/v1"
_TRAINER = "https://github.com/kubeflow/trainer/blob/master/pkg/apis/trainer/v1alpha1"
_RAY = "https://github.com/ray-project/kuberay/blob/master/ray-operator/apis/ray/v1"
_ARGO = "https://argo-workflows.readthedocs.io/en/latest/fields/"
_KRUISE = "https://github.com/openkruise/kruise/blob/master/apis/apps"
_KNATIVE = "https://github.com/knative/serving/blob/main/pkg/apis/serving/v1/revision_defaults.go"
_KSERVE = "https://github.com/kserve/kserve/blob/master/pkg/controller/v1beta1/inferenceservice/components/predictor.go"
_SPARK = "https://github.com/kubeflow/spark-operator/blob/master/api/v1beta2/sparkapplication_types.go"
_SPARK_CONNECT = "https://github.com/kubeflow/spark-operator/blob/master/api/v1alpha1/sparkconnect_types.go"
_SPARK_APACHE = "https://github.com/apache/spark-kubernetes-operator/blob/main/docs/spark_custom_resources.md"
_TEKTON = "https://tekton.dev/docs/pipelines/labels"
_LLM = "https://github.com/kserve/kserve/blob/master/pkg/controller/v1alpha2/llmisvc/workload_single_node.go"
_VLLM = (
    "https://github.com/vllm-project/production-stack/blob/main/operator/internal/controller/vllmruntime_controller.go"
)
_NIM = "https://docs.nvidia.com/nim-operator/latest/service.html"
_NVIDIA = "https://github.com/NVIDIA/k8s-nim-operator/blob/main"
_KUSTOMIZE = "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/"
_LLM_ANNOTATIONS = ("spec.annotations", "spec.prefill.annotations", "spec.router.scheduler.annotations")
"""Of those in its metadata only some prefixes are passed on, and not ours."""
_JOB_SET = "spec.replicatedJobs.*.template.spec.template"


def _ray(prefix: str) -> tuple[str, ...]:
    return f"{prefix}.headGroupSpec.template", f"{prefix}.workerGroupSpecs.*.template"


def _spark(spec: str) -> tuple[str, ...]:
    return f"{spec}.executor.template", f"{spec}.driver.template"


def _spark_annotations(spec: str) -> tuple[str, ...]:
    return f"{spec}.executor.annotations", f"{spec}.driver.annotations"


def _spark_parts(spec: str) -> tuple[Part, ...]:
    return (
        Part(f"{spec}.executor", "instances", "spark-kubernetes-executor", resources="gpu"),
        Part(f"{spec}.driver", container="spark-kubernetes-driver", resources="gpu"),
    )


def _nvidia(name: str, types: str) -> Kind:
    """One of NVIDIA's NIM operator.  Training jobs of a NemoCustomizer get none of its annotations."""
    return Kind("apps.nvidia.com", name, f"{_NVIDIA}/api/apps/v1alpha1/{types}_types.go",
                passed_on=("spec.annotations",), parts=(Part("spec", "replicas"),), complete=False)  # fmt: skip


def _workflow(spec: str) -> tuple[str, ...]:
    return (
        f"{spec}.templates.*.{METADATA}",
        f"{spec}.podMetadata.annotations",
        f"{spec}.templateDefaults.{METADATA}",
        f"{spec}.templates.*.steps.*.*.inline.{METADATA}",
        f"{spec}.templates.*.dag.tasks.*.inline.{METADATA}",
    )


KINDS = (
    Kind("apps", "Deployment", f"{_API}/apps/v1/types.go", _TEMPLATE),
    Kind("apps", "StatefulSet", f"{_API}/apps/v1/types.go", _TEMPLATE),
    Kind("apps", "DaemonSet", f"{_API}/apps/v1/types.go", _TEMPLATE),
    Kind("apps", "ReplicaSet", f"{_API}/apps/v1/types.go", _TEMPLATE),
    Kind("", "ReplicationController", f"{_API}/core/v1/types.go", _TEMPLATE),
    Kind("", "PodTemplate", f"{_API}/core/v1/types.go", ("template",)),
    Kind("batch", "Job", f"{_API}/batch/v1/types.go", _TEMPLATE),
    Kind("batch", "CronJob", f"{_API}/batch/v1/types.go", ("spec.jobTemplate.spec.template",)),
    Kind("apps.openshift.io", "DeploymentConfig", "https://github.com/openshift/api/blob/master/apps/v1/types.go",
         _TEMPLATE),
    Kind("argoproj.io", "Rollout", "https://argo-rollouts.readthedocs.io/en/stable/features/ephemeral-metadata/",
         _TEMPLATE, tuple(f"spec.strategy.{metadata}.annotations" for metadata in (
             "canary.canaryMetadata", "canary.stableMetadata", "blueGreen.previewMetadata", "blueGreen.activeMetadata",
         ))),
    Kind("argoproj.io", "Workflow", _ARGO, passed_on=_workflow("spec")),
    Kind("argoproj.io", "WorkflowTemplate", _ARGO, passed_on=_workflow("spec")),
    Kind("argoproj.io", "ClusterWorkflowTemplate", _ARGO, passed_on=_workflow("spec")),
    Kind("argoproj.io", "CronWorkflow", _ARGO, passed_on=_workflow("spec.workflowSpec")),
    Kind("ray.io", "RayCluster", f"{_RAY}/raycluster_types.go", _ray("spec")),
    Kind("ray.io", "RayJob", f"{_RAY}/rayjob_types.go", (*_ray("spec.rayClusterSpec"), "spec.submitterPodTemplate")),
    Kind("ray.io", "RayService", f"{_RAY}/rayservice_types.go", _ray("spec.rayClusterConfig")),
    Kind("jobset.x-k8s.io", "JobSet", "https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/", (_JOB_SET,)),
    Kind("leaderworkerset.x-k8s.io", "LeaderWorkerSet", "https://lws.sigs.k8s.io/docs/reference/leaderworkerset.v1/",
         ("spec.leaderWorkerTemplate.workerTemplate", "spec.leaderWorkerTemplate.leaderTemplate")),
    Kind("kubeflow.org", "PyTorchJob", f"{_TRAINING}/pytorch_types.go", ("spec.pytorchReplicaSpecs.*.template",)),
    Kind("kubeflow.org", "TFJob", f"{_TRAINING}/tensorflow_types.go", ("spec.tfReplicaSpecs.*.template",)),
    Kind("kubeflow.org", "MPIJob", f"{_TRAINING}/mpi_types.go", ("spec.mpiReplicaSpecs.*.template",)),
    Kind("kubeflow.org", "XGBoostJob", f"{_TRAINING}/xgboost_types.go", ("spec.xgbReplicaSpecs.*.template",)),
    Kind("kubeflow.org", "PaddleJob", f"{_TRAINING}/paddlepaddle_types.go", ("spec.paddleReplicaSpecs.*.template",)),
    Kind("kubeflow.org", "JAXJob", f"{_TRAINING}/jax_types.go", ("spec.jaxReplicaSpecs.*.template",)),
    Kind("kubeflow.org", "Notebook",
         "https://github.com/kubeflow/notebooks/blob/v1.11.0/components/notebook-controller/controllers/"
         "notebook_controller.go", _TEMPLATE, (METADATA,), ("kubectl", "notebook"), ignored=True),
    Kind("trainer.kubeflow.org", "TrainingRuntime", f"{_TRAINER}/trainingruntime_types.go",
         (f"spec.template.{_JOB_SET}",)),
    Kind("trainer.kubeflow.org", "ClusterTrainingRuntime", f"{_TRAINER}/trainingruntime_types.go",
         (f"spec.template.{_JOB_SET}",)),
    Kind("trainer.kubeflow.org", "TrainJob",
         "https://kubeflow.org/docs/components/trainer/operator-guides/runtime-patches/", complete=False,
         passed_on=(f"spec.runtimePatches.*.trainingRuntimeSpec.template.{_JOB_SET}.{METADATA}",
                    f"spec.podTemplateOverrides.*.{METADATA}")),  # the first since Trainer 2.2, the second before it
    Kind("batch.volcano.sh", "Job", "https://volcano.sh/en/docs/vcjob/", ("spec.tasks.*.template",)),
    Kind("apps.kruise.io", "CloneSet", f"{_KRUISE}/v1alpha1/cloneset_types.go", _TEMPLATE),
    Kind("apps.kruise.io", "StatefulSet", f"{_KRUISE}/v1beta1/statefulset_types.go", _TEMPLATE),
    Kind("apps.kruise.io", "DaemonSet", f"{_KRUISE}/v1alpha1/daemonset_types.go", _TEMPLATE),
    Kind("keda.sh", "ScaledJob", "https://keda.sh/docs/latest/reference/scaledjob-spec/",
         ("spec.jobTargetRef.template",)),
    Kind("serving.knative.dev", "Service", _KNATIVE, _TEMPLATE, only_container="user-container"),
    Kind("serving.knative.dev", "Configuration", _KNATIVE, _TEMPLATE, only_container="user-container"),
    Kind("machinelearning.seldon.io", "SeldonDeployment",
         "https://docs.seldon.io/projects/seldon-core/en/latest/reference/seldon-deployment.html",
         ("spec.predictors.*.componentSpecs.*",), complete=False),
    Kind("serving.kserve.io", "InferenceService", _KSERVE,
         passed_on=("spec.predictor.annotations", "spec.transformer.annotations", "spec.explainer.annotations",
                    METADATA),
         parts=tuple(Part(f"spec.{name}", "minReplicas", "kserve-container", resources="model.resources")
                     for name in ("predictor", "transformer", "explainer"))),
    Kind("serving.kserve.io", "LLMInferenceService", _LLM, passed_on=_LLM_ANNOTATIONS,
         parts=tuple(Part(path, "replicas", pod="template") for path in ("spec", "spec.prefill"))),
    Kind("serving.kserve.io", "LLMInferenceServiceConfig", _LLM, passed_on=_LLM_ANNOTATIONS, complete=False),
    Kind("serving.kserve.io", "ServingRuntime", _KSERVE, passed_on=("spec.annotations",), complete=False),
    Kind("serving.kserve.io", "ClusterServingRuntime", _KSERVE, passed_on=("spec.annotations",), complete=False),
    Kind("sparkoperator.k8s.io", "SparkApplication", _SPARK, _spark("spec"), _spark_annotations("spec"),
         settings=("spec.sparkConf",), parts=_spark_parts("spec"), complete=False),
    Kind("sparkoperator.k8s.io", "ScheduledSparkApplication", _SPARK, _spark("spec.template"),
         _spark_annotations("spec.template"), settings=("spec.template.sparkConf",),
         parts=_spark_parts("spec.template"), complete=False),
    Kind("sparkoperator.k8s.io", "SparkConnect", _SPARK_CONNECT, ("spec.executor.template", "spec.server.template"),
         settings=("spec.sparkConf",), complete=False),
    Kind("spark.apache.org", "SparkApplication", _SPARK_APACHE,
         ("spec.executorSpec.podTemplateSpec", "spec.driverSpec.podTemplateSpec"), settings=("spec.sparkConf",),
         complete=False),
    Kind("tekton.dev", "TaskRun", _TEKTON, passed_on=(METADATA,), complete=False),
    Kind("tekton.dev", "PipelineRun", _TEKTON, complete=False,
         passed_on=("spec.taskRunSpecs.*.metadata.annotations", METADATA)),
    Kind("tekton.dev", "Task", _TEKTON, passed_on=(METADATA,), complete=False),
    Kind("tekton.dev", "Pipeline", _TEKTON, passed_on=(METADATA,), complete=False),
    Kind("production-stack.vllm.ai", "VLLMRuntime", _VLLM, passed_on=("spec.deploymentConfig.podAnnotations",),
         parts=(Part("spec.deploymentConfig", "replicas", "vllm", "podAnnotations"),)),
    Kind("apps.nvidia.com", "NIMService", _NIM, passed_on=("spec.annotations",), parts=(Part("spec", "replicas"),),
         complete=False),
    Kind("apps.nvidia.com", "NIMPipeline", f"{_NVIDIA}/api/apps/v1alpha1/nimpipeline_types.go",
         passed_on=("spec.services.*.spec.annotations",), parts=(Part("spec.services.*.spec", "replicas"),),
         complete=False),
    Kind("apps.nvidia.com", "NIMBuild", f"{_NVIDIA}/internal/controller/nimbuild_controller.go", passed_on=(METADATA,)),
    _nvidia("NemoCustomizer", "nemo_customizer"),
    _nvidia("NemoDatastore", "nemo_datastore"),
    _nvidia("NemoEntitystore", "nemo_entitystore"),
    _nvidia("NemoEvaluator", "nemo_evaluator"),
    _nvidia("NemoGuardrail", "nemo_guardrails"),
    Kind("kustomize.config.k8s.io", "Kustomization", _KUSTOMIZE, complete=False, printed_by="kubectl kustomize"),
    Kind("kustomize.config.k8s.io", "Component", _KUSTOMIZE, complete=False, printed_by="kubectl kustomize"),
    Kind("helm.toolkit.fluxcd.io", "HelmRelease", "https://fluxcd.io/flux/components/helm/helmreleases/",
         complete=False, printed_by="helm template"),
    Kind("helm.cattle.io", "HelmChart", "https://docs.k3s.io/helm", complete=False, printed_by="helm template"),
    Kind("argoproj.io", "Application", "https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/",
         complete=False, printed_by="helm template or kubectl kustomize"),
)  # fmt: skip

_OWN_GROUPS = {"", "apps", "batch"}
"""The groups of Kubernetes itself, which are meant where an object names none."""
_BY_NAME = {name: [kind for kind in KINDS if kind.name == name] for name in {kind.name for kind in KINDS}}

_NO_PODS = {
    "": "Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume "
        "PersistentVolumeClaim ResourceQuota Secret Service ServiceAccount",
    "apps": "ControllerRevision",
    "autoscaling.k8s.io": "VerticalPodAutoscaler",
    "keda.sh": "ScaledObject TriggerAuthentication ClusterTriggerAuthentication",
    "monitoring.coreos.com": "PodMonitor PrometheusRule Probe ServiceMonitor",
}  # fmt: skip
_GROUPS_WITHOUT_PODS = {
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
    "authorization.k8s.io", "autoscaling", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io",
    "events.k8s.io", "flowcontrol.apiserver.k8s.io", "karpenter.k8s.aws", "karpenter.sh", "kueue.x-k8s.io",
    "metrics.k8s.io",
    "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io",
    "snapshot.storage.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
}  # fmt: skip


def find(api_version: object, name: object) -> Kind | None:
    """What is known of the kind *name* in the group of *api_version*; None if nothing is.

    >>> find("kubeflow.org/v1", "PyTorchJob").annotations
    ('spec.pytorchReplicaSpecs.*.template.metadata.annotations',)
    """
    kinds = _BY_NAME.get(name, ()) if isinstance(name, str) else ()
    group = _group(api_version)
    return next((kind for kind in kinds if kind.group == group or (group is None and kind.group in _OWN_GROUPS)), None)


def spark_key(role: str) -> str:
    """The property of Spark that gives the annotation to its *role*, driver or executor.

    Source: https://spark.apache.org/docs/latest/running-on-kubernetes.html, "Spark Properties".
    """
    return f"spark.kubernetes.{role}.annotation.{ANNOTATION}"


def makes_no_pods(api_version: object, name: object) -> bool:
    """Whether objects of this kind are known to create no pods: those of Kubernetes that do not, and a few others."""
    group = _group(api_version)
    if group is None:
        return name in _NO_PODS[""].split()
    return group in _GROUPS_WITHOUT_PODS or name in _NO_PODS.get(group, "").split()


def _group(api_version: object) -> str | None:
    """The API group; None if the object names none."""
    return api_version.rpartition("/")[0] if isinstance(api_version, str) and api_version else None
