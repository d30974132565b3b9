"""Reviews that were bent on their way, by the hundred thousand: an answer or a clean 4xx each, never a 5xx."""

from __future__ import annotations

import json
import random
from collections import Counter

from tests.stories import FLEETS, STORIES
from webhook import documents
from webhook.cli import files
from webhook.errors import BadReview
from webhook.server.decide import Decide
from webhook.server.metrics import Metrics

ODD = [
    b"null", b"[]", b"{}", b'""', b"0", b"-1", b"1e999", b"NaN", b"true", b'"\\ud800"', b'"\\u0000"', b'"1g.5gb"',
    b'"2x1/7 | 10Gi@h100"', b"[" * 2000, b"\xff", b"\xef\xbb\xbf", b'"gpu-slice"', b'"a=1g.5gb,b=shared"',
    b"9" * 400, b'"\xc3\xa9\n"', b",", b":", b"}",
]  # fmt: skip


def reviews() -> list[bytes]:
    """A review of each story's pod."""
    found = []
    for story in STORIES:
        (document,) = documents.read((story / "pod.yaml").read_bytes(), name="pod.yaml")
        request = {"uid": "705ab4f5", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}}
        request |= {"namespace": "team-a", "object": document.value}
        found.append(
            json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
        )
    return found


def bent(text: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """*text* with some of it cut out, doubled, replaced, or taken from another."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 1, 2, 8, 60)))
        other = chance.choice(others)
        cut = chance.randrange(len(other))
        text = text[:start] + chance.choice(
            (b"", text[start:end] * 2, chance.choice(ODD), bytes([chance.randrange(256)]), other[cut : cut + 40])
        ) + text[end:]  # fmt: skip
    return text


def values(text: bytes, chance: random.Random) -> bytes:
    """*text* with one of its values replaced, so that it is still JSON."""
    review = json.loads(text)
    at = review
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = chance.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and chance.random() < 0.8:
            at = at[key]
            continue
        at[key] = chance.choice((None, [], {}, "", 0, -1, 1e300, True, "1g.5gb", [None], {"a": None}, "é\n", 2**70))
        return json.dumps(review).encode()


def fuzz(count: int, seed: int) -> dict[str, int]:
    """How many were answered, and how many refused with each status.  Raises what would have been a 500."""
    chance = random.Random(seed)
    texts = reviews()
    metrics = Metrics()
    fleets = [files.fleet_at(path) for path in FLEETS.values()]
    decisions = [Decide(lambda fleet=fleet: fleet, metrics) for fleet in fleets]
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        text = chance.choice(texts)
        text = values(text, chance) if chance.random() < 0.5 else bent(text, chance, texts)
        try:
            answer = json.loads(chance.choice(decisions)(text))
        except BadReview as error:
            if "\n" in str(error):
                raise AssertionError(f"seed {seed}: {error} for {text!r}") from error
            outcomes["400"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: {text!r}") from error
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response = answer["response"]
        assert ("patch" in response) == ("patchType" in response)
        outcomes["allowed" if response["allowed"] else "denied"] += 1
    return dict(outcomes)
