"""``python -m benchmarks``: see ``benchmarks/methods.py``."""

from benchmarks.methods import main

main()
