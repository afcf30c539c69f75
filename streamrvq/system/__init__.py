"""What the system and the installation provide: files written whole, interrupts that wait, optional packages."""
