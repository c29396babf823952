"""The command line. `main` lists the verbs; the other files hold them by theme; `output` prints."""

import gc

# Importing allocates much and frees nothing: with Python's own threshold a tenth of the start goes into looking for garbage.
gc.set_threshold(100_000, 20, 20)
