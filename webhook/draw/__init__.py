"""Drawings: values in, text out.

svg.py          what an SVG is made of, and its colours, light and dark
layout.py       one GPU of a pool, with its slices
placements.py   where the slices of each profile can lie on a GPU
node.py         how many slices of a node are used
blocks.py       the same in a terminal
request.py      the way of a request, from the pod to the node
bars.py         the bars of the benchmark
"""
