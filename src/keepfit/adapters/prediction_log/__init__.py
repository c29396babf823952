"""The prediction log: spools that workers write, and the Parquet segments that they become, here or in object storage.

Nothing is imported here: workers import `spool` alone and stay light.
"""

SPOOL = ".1.jsonl"  # how a spool's name ends; the number is that of the form of its lines: another keepfit's are left to it
