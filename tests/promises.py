"""What is promised, and which tests prove it: those whose docstring names the promise, as in ``P29``.

python -m tests.promises          writes the table into docs/reliability.md
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- promises -->", "<!-- end of promises -->"

PROMISES = {
    1: "Pods without the annotation never reach the webhook",
    2: "`kube-system`, our own namespace and mirror pods are never matched; a dead webhook cannot block its own pods",
    3: "The answer echoes `uid`, `apiVersion` and `kind`, for any uid",
    4: "The answer is a valid AdmissionReview or a clean 4xx, for any bytes: never a 5xx, never a stack trace",
    5: "Every patch applies in the API server's own library, and the result is the previewed object",
    6: "A patch is minimal: `add`, `replace`, `remove` under a few paths of ours; everything else is unchanged",
    7: "A second call changes nothing, also beside other webhooks, in any order",
    8: "Fields that we do not know are kept",
    9: "A decision has no side effects: no network, file or API call; a dry run gets the same answer",
    10: "A bad annotation is denied with one line that says what to write instead",
    11: "A pod's rights are never widened: own tolerations only, conflicts denied, users' limits respected",
    12: "The guard refuses an annotated pod that escaped the webhook, without a call",
    13: "Warnings are short, valid UTF-8, without control characters",
    14: "`?timeout=` is honoured: no answer is sent after the deadline",
    15: "The cluster does what the preview shows",
    16: "A body is refused as soon as it exceeds 7 MiB; memory stays bounded",
    17: "Slow clients are cut off: 5 s for headers, 10 s for a body; 500 of them do not double a good caller's p99",
    18: "Headers are limited to 16 KiB; request smuggling is refused",
    19: "Deeply nested or malformed JSON gets a 400",
    20: "No redirects, no docs, no files: only the five paths are served",
    21: "TLS 1.3 only; certificates satisfy OpenSSL's strict mode and Go; wrong names fail",
    22: "A leaf rotation completes under load without a failed handshake or a lost review",
    23: "So does a CA rotation, with 100 s of lag and the keeper killed between any two steps",
    24: "A torn, expired or foreign pair is refused, the old one stays in use, and a metric and a log line report it",
    25: "Two keepers at once use one CA at a time and lose no update",
    26: "Installing again neither creates a new CA nor wipes `caBundle`",
    27: "Clocks that differ by five minutes do no harm",
    28: "Nothing expires silently: metrics, alerts and `gpu-slice certs status` show it",
    29: "A graceful shutdown of any replica loses no review",
    30: "A rollout loses no review",
    31: "Keep-alive never races: the server's is longer than the API server's",
    32: "SIGKILL of one of three replicas loses at most the reviews in flight on it, and soon none",
    33: "Overload is answered with a time to retry, and nothing grows without bound",
    34: "The speed was measured",
    35: "A serving pod has no token, no egress, no capability, no writable root",
    36: "The keeper can access two named Secrets and two named configurations, and nothing else",
    37: "The network policy admits only calls and metrics",
    38: "The webhook is reachable on EKS under its restricted security group",
    39: "Logs hold no pod content and no secret",
    40: "Dependencies are locked by hash and checked for advisories",
    41: "gpu-slice works on the Kubernetes releases that it names",
    42: "One command removes it in a safe order; running pods stay",
    43: "Metrics report what was answered",
    44: "A pod without the annotation is returned unchanged, whatever an old manifest sends",
}

OPEN = {
    5: "tested with a real API server, which contains that library, and not with the library alone",
    17: "`python -m tests.soak slow` measures the ratio of p99; no test asserts it, because machines are noisy",
    30: "no cluster with a network was drained or scaled; many stops of single replicas stand in for it",
    33: "1,800 reviews at once are too many for one replica: some come too late, during and shortly after (see above)",
    34: "[bench/README.md](../bench/README.md) has figures; no test asserts a time, because machines are noisy",
    37: "the policy's text is checked; no network plugin was available to enforce it",
    38: "the ports are checked; no EKS cluster was available to dial them",
    40: "nothing was published or signed yet; the audit is skipped if no advisory database can be reached",
    41: "1.34, 1.36 and 1.37; see [compatibility.md](compatibility.md)",
}
"""What the tests do not prove, and why."""


def proofs() -> dict[int, list[str]]:
    """The tests of each promise, as ``file::name``, in the order of files and lines."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in re.findall(r"\bP(\d{1,2})\b", ast.get_docstring(node) or ""):
                    found[int(number)].append(f"{path.relative_to(TESTS.parent)}::{node.name}")
    return found


def table() -> str:
    """The table of docs/reliability.md."""
    found = proofs()
    rows = ["| | promise | proved by | not proved |", "| --- | --- | --- | --- |"]
    for number, promise in PROMISES.items():
        tests = "<br>".join(f"`{each.removeprefix('tests/')}`" for each in found[number])
        rows.append(f"| P{number} | {promise} | {tests} | {OPEN.get(number, '')} |")
    return "\n".join(rows)


def written(text: str) -> str:
    """*text* with the table between its marks."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
