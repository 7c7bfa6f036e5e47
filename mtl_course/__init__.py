import os

# Threads that have nothing to do spin for some microseconds and then sleep: hardly slower than
# spinning where nothing else runs, and not held up by a busy program (results/busy_machine.csv).
# Read once, when PyTorch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
