"""What the operating system and the installation provide: files that are written whole, and optional packages."""
