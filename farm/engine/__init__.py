"""The engine: pictures and a recipe in, a growing picture out. Knows no database, queue or web."""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    # Before torch is loaded: how often its threads look for work before they sleep. Why: decision 0018
    # in docs/decisions/.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Before torch is loaded, too: the workspace with which cuBLAS gives the same bits each time.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
