"""Programs that tests run as a whole, in processes of their own. Each can also be run by hand: see its first lines."""
