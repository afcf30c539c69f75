"""What is computed when: lanes, ticks, shares of a step."""
