"""A live cluster, looked at: what of it differs from its fleet, why a pod waits, what its slices are used for.

``reader`` talks to the API server and fills a ``snapshot`` of ``objects``.  Everything else is a pure function from a
snapshot and a `webhook.fleet.fleet.Fleet` to findings, so that a test can write the cluster down.
"""
