"""The one exception of the load tools. Its message says what came, what was wanted and what to do."""


class LoadError(Exception):
    """A run cannot be done as asked, or could not be finished."""
