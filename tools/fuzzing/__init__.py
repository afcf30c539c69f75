"""``tools/fuzz``: every reader of foreign bytes, under coverage-guided fuzzing (atheris).

registry.py lists the targets, and says how to add one. The tests of the readers use the same targets with Hypothesis.
"""
