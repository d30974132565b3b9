"""gpu-slice: a pod asks for a slice of a GPU by one annotation, and gets it."""

__version__ = "0.1.0"
