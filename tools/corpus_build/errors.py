"""The one exception of the corpus tools. Its message says what came, what was wanted and what to do."""


class CorpusError(Exception):
    """A corpus cannot be built, packed or unpacked as asked."""
