"""Faults at random moments in sweeps on a real Ray, and what they cost: see __main__.py."""
