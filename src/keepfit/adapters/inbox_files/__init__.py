"""Places of data files: CSV, Parquet and JSON Lines, in folders or in object storage.

A file is named by the sha256 of its bytes. Reading checks that the bytes are still those, so a file that is overwritten in the
middle of a cycle is noticed. Moving is find-or-do, and overwrites nothing: within one file system a second name and the removal of
the first, elsewhere a copy that is verified before the original is removed. A kill in between leaves both; the next move ends it.
"""

from keepfit.adapters.inbox_files.inbox import InboxFiles as InboxFiles
