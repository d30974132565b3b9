"""A name, GPU or partition that is refused."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import A10G, pool_text, text

NOT_MIG = "not a MIG profile: expected"
ROWS = [
    # name and gpu
    pytest.param(text(pool_text(name=None)), "pools[0].name", "is missing", "Add it", id="no name"),
    pytest.param(
        text(pool_text(name="My_Pool")),
        "pools[0].name",
        "'My_Pool' is not well formed",
        "Use lower-case letters, digits and '-', at most 63 characters",
        id="no DNS label",
    ),
    pytest.param(
        text(pool_text(name="a" * 64)),
        "pools[0].name",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is not well formed",
        "Use lower-case letters, digits and '-', at most 63 characters",
        id="a name of 64 letters",
    ),
    pytest.param(
        text(pool_text(name="1")),
        "pools[0].name",
        "1 is a number",
        "Write a string: put it in quotes",
        id="a number for a name",
    ),
    pytest.param(
        text(pool_text(), pool_text()), "pools[1].name", "'p' is the name of two", "Rename", id="two of a name"
    ),
    pytest.param(text(pool_text(gpu=None)), "pools[0].gpu", "is missing", "Add it", id="no gpu"),
    pytest.param(
        text(pool_text(gpu="null")),
        "pools[0].gpu",
        "the value is null",
        "Write a string: put it in quotes",
        id="gpu is null",
    ),
    pytest.param(
        text(pool_text(gpu="a100-40bg")),
        "pools[0].gpu",
        "'a100-40bg' is not a GPU of the catalogue",
        "Write 'a100-40gb', or add it under catalogue.gpus",
        id="a gpu misspelt",
    ),
    pytest.param(
        text(pool_text(gpu="quadro")),
        "pools[0].gpu",
        "'quadro' is not a GPU of the catalogue",
        "`gpu-slice profiles --all` lists them; add it under catalogue.gpus",
        id="a gpu like no other",
    ),
    pytest.param(
        text(pool_text(gpu="a100")),
        "pools[0].gpu",
        "'a100' is not a GPU of the catalogue",
        "Write 'a100-40gb' or 'a100-80gb'",
        id="a family for a gpu",
    ),
    # partition
    pytest.param(text(pool_text(partition=None)), "pools[0].partition", "is missing", "Add it", id="no partition"),
    pytest.param(
        text(pool_text(partition="{}")),
        "pools[0].partition",
        "nothing is given",
        "mig, timeSlicing",
        id="none of three",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb: 7}, mps: {replicas: 4}}")),
        "pools[0].partition",
        "mig and mps are given",
        "Give one of mig, timeSlicing and mps",
        id="two of three",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {replicas: 2}, mps: {replicas: 4}}")),
        "pools[0].partition",
        "timeSlicing and mps",
        "Give one",
        id="both ways to share, of which the plugin would ignore one",
    ),
    pytest.param(
        text(pool_text(partition="mig")),
        "pools[0].partition",
        "'mig' is a string",
        "Write a mapping",
        id="a word for it",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {}}")),
        "pools[0].partition.mig",
        "is empty",
        "Add at least one entry",
        id="an empty layout",
    ),
    pytest.param(
        text(pool_text(partition="{mig: [1g.5gb]}")),
        "pools[0].partition.mig",
        "['1g.5gb'] is a list, and all GPUs of a pool are cut alike",
        "Write the layout of one GPU, such as '{1g.5gb: 7}', and make another pool",
        id="a list of profiles",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb: 0}}")),
        "pools[0].partition.mig[1g.5gb]",
        "0 is out of range",
        "Write at least 1",
        id="none of one",
    ),
    pytest.param(
        text(pool_text(partition='{mig: {1g.5gb: "7"}}')),
        "pools[0].partition.mig[1g.5gb]",
        "'7' is a string",
        "whole number, without quotes",
        id="a count in quotes",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g5gb: 7}}")),
        "pools[0].partition.mig[1g5gb]",
        NOT_MIG,
        "1g.5gb",
        id="misspelt",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.6gb: 7}}")),
        "pools[0].partition.mig[1g.6gb]",
        "a100-40gb has no profile '1g.6gb'",
        "1g.5gb, 1g.5gb+me, 1g.10gb",
        id="a profile of another gpu",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1c.3g.20gb: 2}}")),
        "pools[0].partition.mig[1c.3g.20gb]",
        "does not advertise a compute instance",
        "'3g.20gb'",
        id="a compute instance, which the plugin counts as its whole GPU instance",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb+me: 1, 1g.5gb.me: 1}}")),
        "pools[0].partition.mig[1g.5gb.me]",
        "'1g.5gb+me' is given twice",
        "once",
        id="one profile in two spellings",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {4g.20gb: 2}}")),
        "pools[0].partition.mig",
        "2 x 4g.20gb does not fit on one a100-40gb, which has 7 compute and 8 memory slices",
        "4g.20gb: 1",
        id="room for two, but no placement",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb: 8}}")),
        "pools[0].partition.mig",
        "8 x 1g.5gb does not fit on one a100-40gb, which has 7 compute and 8 memory slices",
        "The largest counts of one profile alone are 1g.5gb: 7; combine fewer",
        id="eight",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {3g.20gb: 1, 4g.20gb: 1, 1g.5gb: 1}}")),
        "pools[0].partition.mig",
        "1 x 1g.5gb + 1 x 3g.20gb + 1 x 4g.20gb does not fit",
        "combine fewer",
        id="each fits, all do not",
    ),
    pytest.param(
        text(pool_text(**{**A10G, "partition": "{mig: {1g.6gb: 4}}"})),
        "pools[0].partition.mig",
        "a10g has no MIG",
        "timeSlicing: {replicas: 4}",
        id="mig on a gpu that has none",
    ),
    pytest.param(
        text(pool_text(gpu="rtx-pro-4500", partition="{mig: {1g.16gb: 2}}", instanceTypes="[g7.2xlarge]")),
        "pools[0].partition.mig",
        "it is not known where the slices of one rtx-pro-4500 lie, so a layout cannot be checked",
        "Copy two-slice-rtx to catalogue.geometries, with the starts that `nvidia-smi mig -lgipp` prints",
        id="mig on a gpu whose placements nobody knows",
    ),
    pytest.param(
        text(
            pool_text(
                gpu="rtx-pro-6000", partition="{mig: {1g.24gb+me.all: 1, 1g.24gb: 3}}", instanceTypes="[g7e.2xlarge]"
            )
        ),
        "pools[0].partition.mig",
        "does not fit on one rtx-pro-6000: it takes 7 decoders, of which it has 4",
        "Beside '+me.all' only profiles with '-me' fit",
        id="more engines than the gpu has",
    ),
    pytest.param(
        text(pool_text(gpu="a30", partition="{mig: {1g.6gb+me: 1, 2g.12gb+me: 1}}", instanceTypes="[p4d.24xlarge]")),
        "pools[0].partition.mig",
        "it takes 2 JPEG engines, of which it has 1",
        "one slice may have '+me'",
        id="media engines twice",
    ),
    pytest.param(
        text(pool_text(gpu="l4", partition="{mps: {replicas: 49}}", instanceTypes="[g6.xlarge]")),
        "pools[0].partition.mps.replicas",
        "NVIDIA's MPS daemon exits with more than 48 replicas, not 49",
        "Write at most 48, or timeSlicing",
        id="more mps clients than the daemon allows",
    ),
    pytest.param(
        text(pool_text(gpu="NVIDIA H100 80GB HBM3")),
        "pools[0].gpu",
        "'NVIDIA H100 80GB HBM3' is not a GPU of the catalogue",
        "Write 'h100-80gb', or add it under catalogue.gpus",
        id="a gpu as nvidia-smi prints it",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {replicas: 1}}")),
        "pools[0].partition.timeSlicing.replicas",
        "1 is out of range",
        "Write at least 2",
        id="one replica",
    ),
    pytest.param(
        text(pool_text(partition="{mps: {replicas: 1}}")),
        "pools[0].partition.mps.replicas",
        "1 is out of range",
        "Write at least 2",
        id="one of mps",
    ),
    pytest.param(
        text(pool_text(partition='{timeSlicing: {replicas: "4"}}')),
        "pools[0].partition.timeSlicing.replicas",
        "'4' is a string",
        "whole number, without quotes",
        id="replicas in quotes, which the plugin refuses",
    ),
    pytest.param(
        text(pool_text(partition="{mps: {replicas: true}}")),
        "pools[0].partition.mps.replicas",
        "true is a boolean",
        "Write a whole number, without quotes",
        id="true is not 1",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {}}")),
        "pools[0].partition.timeSlicing.replicas",
        "is missing",
        "Add it",
        id="no replicas",
    ),
    pytest.param(
        text(pool_text(strategy="single", partition="{mig: {3g.20gb: 1, 4g.20gb: 1}}")),
        "pools[0].partition.mig",
        "'single' the device plugin needs one profile",
        "strategy: mixed",
        id="single with two profiles, which ends the plugin",
    ),
    pytest.param(
        text(pool_text(strategy="single", partition="{timeSlicing: {replicas: 4}}")),
        "pools[0].strategy",
        "'single' is for MIG",
        "Remove strategy",
        id="single with time-slicing",
    ),
    pytest.param(
        text(pool_text(strategy="mixd")),
        "pools[0].strategy",
        "'mixd' is not known",
        "'mixed'",
        id="a strategy misspelt",
    ),
    pytest.param(
        text(pool_text(strategy="none")),
        "pools[0].strategy",
        "'none' is not known",
        "Write 'mixed' or 'single'",
        id="the plugin's own default",
    ),
]
