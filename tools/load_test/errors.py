"""The one exception of the load tools. Its message says what came, what was wanted and what to do."""


class LoadError(Exception):
    """A run that cannot be made as asked, or that could not be brought to its end."""
