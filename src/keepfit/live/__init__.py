"""A model in service, seen through its log: performance, drift, comparison, probation, and labelled rows for the loop."""
