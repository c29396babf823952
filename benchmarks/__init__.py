"""Speed against the tools that keepfit replaces: `make bench`, or `python -m benchmarks`."""
