"""What `namedmap._contract` asks of a platform, on Linux: the object manager's operations for the Python classes.

sections          sections and their handles
files             files that are to be mapped
memory            the pages of views
synchronization   mutexes, semaphores, events
waits             waiting
"""
