"""The parts of the controller, which puts them to use once a tick. None knows the controller, Ray or SQL."""
