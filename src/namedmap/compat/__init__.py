"""Stand-ins for modules that existing programs use."""
