"""Objects that lie in shared memory and say what they are.

    formats       how arrays, tables and bytes lie there
    blocks        publish and attach

Each module imports only from those above it.
"""
