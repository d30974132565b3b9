"""Remembers what was decided for pods that are alike: a Deployment's, a Job's, those of an array of Jobs."""

from __future__ import annotations

import orjson

from webhook.admission.excerpt import excerpt
from webhook.admission.plan import Plan, plan
from webhook.admission.pod import Pod
from webhook.fleet.fleet import Fleet

MOST = 256
"""Plans that are remembered, each of some kilobytes; the oldest makes room for a new one."""

LONGEST = 4096
"""Bytes of an excerpt that is worth remembering."""


class Memory:
    """The plans of one fleet.  A new fleet begins with a new memory."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._plans: dict[tuple[str | None, bytes], Plan] = {}

    def plan(self, pod: Pod, namespace: str | None) -> Plan:
        """As `webhook.admission.plan.plan`.  Denials are not remembered: nobody waits for those."""
        part = excerpt(pod)
        key = namespace, orjson.dumps(part)
        found = self._plans.get(key)
        if found is None:
            found = plan(part, self.fleet, namespace)
            if len(key[1]) <= LONGEST:
                if len(self._plans) >= MOST:
                    del self._plans[next(iter(self._plans))]
                self._plans[key] = found
        return found
