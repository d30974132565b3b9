"""Other ways to ask for a part of a GPU, or for a kind of it, than a slice."""

from __future__ import annotations

from collections.abc import Iterable

from webhook.admission.pod import NVIDIA, Place, Pod, is_gpu
from webhook.budget import Budget

ACCELERATORS = (
    "aws.amazon.com/neuron", "baidu.com/", "cambricon.com/", "cloud-tpus.google.com/", "enflame.com/", "furiosa.ai/",
    "google.com/tpu", "habana.ai/", "huawei.com/ascend", "huawei.com/npu", "hygon.com/", "iluvatar.ai/",
    "kunlunxin.com/", "metax-tech.com/", "qualcomm.com/qaic", "rebellions.ai/", "tencent.com/vcuda-",
    "tenstorrent.com/", "vastaitech.com/",
)  # fmt: skip
"""How resources of accelerators begin, in lower case, where they do not say ``gpu``: HAMi's list, and their makers'
device plugins."""
FRACTIONS = ("gpu-fraction", "gpu-memory", "gpu-sm-")
"""Annotations of KAI Scheduler and Run:ai: KAI-Scheduler ``pkg/common/constants``."""

CHOOSING = ("gpuuuid", "gputype", "gpumem", "gpu-mem", "vgpu-mode")
"""Words in annotations by which HAMi, Volcano and Aliyun choose or divide a GPU, as in ``nvidia.com/use-gputype``."""


def is_anothers(resource: str) -> bool:
    """Whether another way to share or to pass through GPUs serves it, as far as its name tells.

    Such as ``nvidia.com/gpumem`` and ``/priority`` (HAMi), ``volcano.sh/vgpu-number``, ``aliyun.com/gpu-mem``,
    ``koordinator.sh/gpu-core``, ``tencent.com/vcuda-core``, ``nvidia.com/gpu-10gb`` (nos), ``nvidia.com/pgpu`` and
    ``nvidia.com/GB100_B200`` (NVIDIA's plugin for Kata and KubeVirt).  So are accelerators of other makers: no pool has
    one.
    """
    return (
        "/" in resource
        and not is_gpu(resource)
        and (
            "gpu" in resource.lower()
            or resource.lower().startswith(ACCELERATORS)
            or resource == "nvidia.com/priority"
            or (resource.startswith(NVIDIA) and resource[len(NVIDIA) :][:1].isupper())
        )
    )


def asked_of_others(pod: Pod, places: Iterable[Place], budget: Budget) -> str:
    """What *pod* asks of another way to share GPUs: a resource or an annotation; empty if nothing."""
    names: set[str] = set()
    for place in places:
        resources = place.container.resources
        for quantities in (resources.limits, resources.requests) if resources else ():
            budget.spend(len(quantities or ()))
            names.update(filter(is_anothers, quantities or ()))
    budget.spend(len(pod.annotations))
    names.update(
        key
        for key in pod.annotations
        if key.startswith(FRACTIONS) or ("/" in key and any(word in key for word in CHOOSING))
    )
    return min(names, default="")
