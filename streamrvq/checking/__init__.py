"""Does a stream give what offline encoding gives? The table that shows it, and the definition of a near-tie."""
