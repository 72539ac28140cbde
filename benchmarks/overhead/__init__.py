"""What a trial costs besides its training: bare Ray, ray_hpo and Ray Tune, in turn, in one call.

__main__.py starts the cluster, runs the rounds and prints; measure.py is one measurement, in a process of its own;
bare.py, ours.py and tune.py are what is measured; workload.py is what all of them train.
"""
