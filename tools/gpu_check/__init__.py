"""What only a card can show: `tools/gpu-check`."""
