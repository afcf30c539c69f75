"""Is a stream what offline is? The table that says so, and what a near-tie is."""
