import os

# Threads that have nothing to do sleep rather than spin: beside a browser or another training a
# step then takes half as long (benchmarks/busy_machine.py). Read once, when PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
