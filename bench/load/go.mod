module gpu-slice/bench/load

go 1.26.0

tool gpu-slice/bench/load
