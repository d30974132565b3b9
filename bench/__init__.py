"""The benchmark: how many reviews a second one core answers, beside peers that do the same in Go and in Rust.

pods.py        the pods that are sent
table.py       the decision that all servers share, and whether an answer has it
programs.py    the peers and the load generator, built once and kept
servers.py     gpu-slice, the echoes and the peers as processes
load/          the load generator
peers/         a server in Rust, two in Go, and a MutatingAdmissionPolicy
echo.py        servers of our own stack that decide nothing
throughput.py  the first table: reviews a second
cluster.py     the second table: creating pods through a real API server
decision.py    the third table: the time of a decision
report.py      medians, tables, and the page that they go into
"""
