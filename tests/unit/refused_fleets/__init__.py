"""Fleets that are refused, a file a subject."""

from __future__ import annotations

from . import document, fields, namespaces, node_labels, nodes, partition, rendered

REFUSED = [
    *document.ROWS,
    *fields.ROWS,
    *partition.ROWS,
    *node_labels.ROWS,
    *nodes.ROWS,
    *rendered.ROWS,
    *namespaces.ROWS,
]
