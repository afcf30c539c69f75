"""What the operating system and the installation provide: files that are written whole, optional packages."""
