"""The conformance suite of the Python classes: what holds on every platform that implements `namedmap._contract`.

    capabilities      what a platform may lack, each with its reason
    checking          a platform behind a border that lets through what the contract says, and nothing else
    implementations   what the suite runs against
    kinds             mappings, mutexes, semaphores and events under one interface
    sent              what processes of multiprocessing do with what they are sent
    conftest          the parameter, second processes, objects that are closed at the end of a test

The tests use the public classes, here and in second processes, and ask nothing of the platform itself. Another platform
adds a line to `implementations`.
"""
