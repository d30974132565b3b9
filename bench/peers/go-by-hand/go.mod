module gpu-slice/bench/peers/go-by-hand

go 1.26.0

tool gpu-slice/bench/peers/go-by-hand
