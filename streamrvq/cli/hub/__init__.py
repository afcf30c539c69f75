"""Commands about the Hugging Face Hub."""
