import os

# Threads that have nothing to do sleep rather than spin: beside one busy program a step took 2.0 s
# in place of 3.7 s (results/busy_machine.csv). Read once, when PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
