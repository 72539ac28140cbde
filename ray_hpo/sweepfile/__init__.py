"""Sweeps as text: parameters on the command line, sweep files, and those of W&B and Determined."""
