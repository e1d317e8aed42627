"""What lies in shared memory and says what it is.

    formats       how arrays, tables and bytes lie there
    blocks        publish and attach

Each module imports only from those above it.
"""
