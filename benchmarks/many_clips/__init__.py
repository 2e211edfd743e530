"""What `benchmarks.bench_many_clips` runs: clips with known faults, and a network that fails on some."""
