"""What the system and the installation provide: cores, files written whole, interrupts that wait, optional packages."""
