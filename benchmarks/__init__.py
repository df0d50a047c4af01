"""Benchmarks: `python -m benchmarks` measures Gleanset on this machine, beside img2dataset where both do the same."""
