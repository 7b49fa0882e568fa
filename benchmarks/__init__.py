"""The figures of SPEC 19: `python -m benchmarks [--check] [--quick] [--only name]`."""
