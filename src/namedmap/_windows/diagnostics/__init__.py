"""Looking at what is there, without holding it.

    objects      the named objects of the session
    system       what a program depends on
    pagecache    pages of files in memory, as far as Windows tells

Each module imports only from those above it.
"""
