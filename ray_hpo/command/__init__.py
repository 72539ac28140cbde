"""Trainables that are commands: what to run, how to fill it in, and how to read metrics from what it prints.

Pure but for `process.py` and `supervisor.py`, and light: workers import it. `worker/command_body.py` puts it together.
"""
