"""The model behind an API. `keepfit serve` starts three kinds of process:

    front      (supervisor.py) owns the socket, starts and replaces the others, hands signals on
    worker     (worker.py)     answers requests from memory; loads a version beside the old one and swaps; writes its spool
    office     (office.py)     everything that takes time: follows the registry's alias, keeps the cache of versions, drains
                               spools into the log, watches probation, does admin acts for the workers

The office writes a `Plan` whenever something changes; the workers follow it. A worker never waits for the registry, the ledger or
the log's store, so it goes on answering while any of them is away, and while the office itself is.
"""
