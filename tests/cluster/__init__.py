"""A real control plane on loopback, and what Kubernetes makes of the webhook's answers.

programs/          etcd and Kubernetes as pinned Go modules, built once into the user's cache
control_plane.py   the programs as processes
nodes.py           the nodes of a fleet
install.py         the webhook and its guard, registered from manifests/
playground.py      the same, left running for a person
"""
