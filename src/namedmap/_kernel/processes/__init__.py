"""Handles across process borders.

    process       processes and threads, as handles refer to them
    handover      descriptions with a lock of their own, and what a receiver makes of them
    inheritance   handles that a child inherits through exec
    inbox         DuplicateHandle into another process
    fork          what must happen around os.fork

Each module imports only from those above it.
"""
