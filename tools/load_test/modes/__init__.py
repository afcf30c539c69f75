"""The kinds of run: at real-time pace, throughput, drain, soak."""
