"""The webhook as the API server's own client sees it, while replicas come and go: what is lost, and how long it takes.

    python -m tests.soak [SCENARIO …] [--short]

caller.py         who calls: ``tests/cluster/programs/caller``, built on Kubernetes' own code
replicas.py       who is called: `gpu-slice serve`, and uvicorn as it comes (plain.py), to see that a loss is seen
stops.py          graceful stops
race.py           the keep-alive race
rotations.py      certificates
kill.py           ends without a farewell
overload.py       too many reviews at once
slow.py           slow clients (slow_clients.py)
attacks.py        costly pods, costly handshakes, held bodies, greedy addresses (attackers.py)
scenarios.py      all of them at full length, and short
"""
