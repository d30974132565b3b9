"""What a large cluster costs: measured here as far as two cores go, and computed from that with formulas.

serving.py    a review, a connection, several API servers, a new CA, and a fleet that is read under load
fleets.py     fleet files by their size: loading, decisions, what is rendered
cluster.py    the commands that look at a cluster of 15,000 nodes and 100,000 pods
simulation.py queues of replicas for arrivals that no two cores can send
tables.py     the formulas, and the tables of ``docs/scale.md``

`figures.json` has what was measured; ``python -m bench.scale`` measures anew, and writes it and the page.
Processor time is that of the process that is measured, user and system: it depends little on what else runs.
"""
