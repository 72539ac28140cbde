"""The search comparison: our algorithms, and peers, on recorded and synthetic tasks under one simulated clock."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is loaded: figures must not depend on how many cores are free
