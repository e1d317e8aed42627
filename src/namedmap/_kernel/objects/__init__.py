"""The things that keep an object alive, and those that all named objects have in common.

    owners        threads and tasks as owners of mutexes; their end
    waitable      what waits ask of an object
    kernelobject  references and handles
    postponing    drops that come at a bad moment
    description   the open file description of an object; making it one's own after a fork
    named         named objects: create, open, close
    table         the handle table

Each module imports only from those above it.
"""
