"""The benchmark: how many reviews a second one core answers, beside a bare echo of the same bodies."""
