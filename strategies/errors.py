"""The one exception of this package. What the runtime can raise lives in `ray_hpo`."""


class InvalidInput(ValueError):
    """A user's mistake. The message is one line: the field, the value and the way out."""
