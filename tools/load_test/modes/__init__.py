"""The kinds of run: live, throughput, drain, soak."""
