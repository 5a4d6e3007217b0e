"""Error beside time beside steps, ours beside the peers, in one run."""

import os

# threads of BLAS that wait in a loop for work on small matrices would be counted as processor time: Fides beside AMICI
# takes twice as long with them
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
