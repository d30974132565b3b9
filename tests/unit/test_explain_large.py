"""What `explain` prints of a cluster that is large: enough to read, and all of it as JSON."""

from __future__ import annotations

from webhook.cli.explained import as_json, table
from webhook.cluster.causes import Cause
from webhook.cluster.explain import Candidate, Explanation


def test_of_many_nodes_that_are_alike_the_first_ten_are_shown_and_the_others_counted() -> None:
    causes = {"node-tainted": 15_000, "node-full": 10, "node-not-ready": 11}
    nodes = tuple(
        Candidate(f"{id}-{number}", "pool", f"{number} of 56 slices", (Cause(id, "It is."),), False)
        for id, count in causes.items()
        for number in range(count)
    )
    explanation = Explanation("Pod team/waits", "1g.5gb", "", Cause("soon", "It will be."), nodes=nodes)

    printed = [str(each).split() for each in table(explanation)]

    for id, count in causes.items():
        rows = [row for row in printed if row[-1:] == [id]]
        assert [row[0] for row in rows[:10]] == [f"{id}-{number}" for number in range(10)]
        assert [" ".join(row) for row in rows[10:]] == ([f"… and {count - 10:,} more {id}"] if count > 10 else [])
    assert len(as_json(explanation)["nodes"]) == len(nodes)
