"""Karpenter's own provider for AWS, unmodified, against moto's AWS on loopback.

server.py      moto in a process of its own: seeded, its calls recorded, its faults to order
cloud.py       the same as the tests see it: what was asked of it, what it launched, and what it is to refuse
provider.py    the controller, and a fleet with the pools of all test fleets
node.py        what a launched instance makes of its user data, and the node that it becomes
"""
