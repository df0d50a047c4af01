"""Benchmarks: `python -m benchmarks` measures Gleanset on this machine, beside other tools where they do the same."""
