"""The one exception of the quality tools. Its message says what came, what was wanted and what to do."""


class QualityError(Exception):
    """A comparison cannot be made as asked."""
