"""Clusters that `ray up` starts, and sweeps submitted to them: what `ray-hpo cluster` and `ray-hpo submit` do.

Thin: Ray's own launcher and job server do the work.
"""
