"""Audio in and out: sample formats, files, rates, framing. Knows no codec."""
