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
    2: "`kube-system`, our own namespace and mirror pods are never matched; a dead webhook cannot stop its own pods",
    3: "The answer echoes `uid`, `apiVersion` and `kind`, for any uid",
    4: "The answer is a valid AdmissionReview or a clean 4xx, for any bytes: never a 5xx, never a stack trace",
    5: "Every patch applies in the API server's own library, and gives the previewed object",
    6: "A patch is minimal: `add`, `replace`, `remove` under our few paths; all else stays as it was",
    7: "Doing it twice is doing it once, beside other webhooks too, in any order",
    8: "Fields that we do not know survive",
    9: "No side effects: no network, file or API call on the way; a dry run gets the same answer",
    10: "A bad annotation is a denial in one line that names what to write",
    11: "A pod's rights are never widened: own tolerations only, conflicts denied, users' limits respected",
    12: "The guard refuses an annotated pod that escaped, without a call",
    13: "Warnings are short, valid UTF-8, without control characters",
    14: "`?timeout=` is honoured: no answer after the deadline",
    15: "What is previewed is what the cluster does",
    16: "A body above 7 MiB is refused as soon as it is; memory stays bounded",
    17: "Slow clients are cut: 5 s for headers, 10 s for a body; 500 of them do not double a good caller's p99",
    18: "At most 16 KiB of headers; smuggling shapes are refused",
    19: "Deep or odd JSON is a 400",
    20: "No redirect, no docs, no files: only the four paths",
    21: "TLS 1.3 only; certificates satisfy OpenSSL's strict mode and Go; wrong names fail",
    22: "Leaf rotation under load: no handshake failed, nothing lost",
    23: "CA rotation under load, with 100 s of lag and the keeper killed between any two steps: the same",
    24: "A torn, expired or foreign pair is refused, the old one goes on, a metric and a log line say so",
    25: "Two keepers at once: one CA at a time, no update lost",
    26: "Installing again neither makes a new CA nor wipes `caBundle`",
    27: "Clocks five minutes apart do no harm",
    28: "Nothing expires silently: metrics, alerts, and `gpu-slice certs status`",
    29: "A graceful stop of any replica loses nothing",
    30: "Neither does a roll-out",
    31: "Keep-alive never races: the server's is longer than the API server's",
    32: "SIGKILL of one of three: no more is lost than was under way on it, and soon nothing",
    33: "Overload is answered with when to ask again, and never grows without bound",
    34: "How fast it is was measured",
    35: "A serving pod has no token, no egress, no capability, no writable root",
    36: "The keeper may touch two named Secrets and one named configuration, and nothing else",
    37: "The network lets in calls and metrics only",
    38: "Reachable on EKS under its restricted security group",
    39: "Logs hold no pod content and no secret",
    40: "Dependencies are locked by hash, and asked for advisories",
    41: "Works on the Kubernetes releases that it names",
    42: "Removing it is one command, in a safe order; running pods stay",
    43: "Metrics tell the truth",
    44: "A pod without the annotation comes back untouched, whatever an old manifest sends",
}

OPEN = {
    5: "asked of a real API server, which carries that library, and not of the library alone",
    17: "the ratio of p99 is measured by `python -m tests.soak slow`, and asserted by no test, as machines are noisy",
    30: "no cluster with a network was drained or scaled: many stops of single replicas stand for it",
    33: "1,800 reviews at once are too many for one replica: some come too late, during and shortly after (see above)",
    34: "[bench/README.md](../bench/README.md) has figures; no test fails by time, as machines are noisy",
    37: "the policy's text is checked; no network plugin was there to enforce it",
    38: "the ports are checked; no EKS cluster was there to dial them",
    40: "no published image, SBOM or signature; the audit skips where nobody can be asked",
    41: "1.34 and 1.37; see [compatibility.md](compatibility.md)",
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
