"""The questions of the replayer to the system that it runs on.

    LASTS       whether a driver runs script after script, each in a process forked for it
    JOBS        how many scripts may run at a time without meeting under one name
    KILLED      what a killed process exits with
    ROOT        where to put roots for object files, unless the user says
    popen       options that make a driver a leader
    wait        wait for the end of a process for some seconds; it stays one that `kill` may be told of
    kill        end a process, and with a leader what it started
    remove      delete a directory with all that is in it
    move        copy bytes within a page; it raises `Fault` where that faults, having copied `Fault.index` of them
    sleeps      whether a thread of this process waits in a call, or None where nothing tells

One module answers, chosen by whether processes can fork.
"""

import os

from faults import Fault

if hasattr(os, "fork"):
    from host_posix import JOBS, KILLED, LASTS, ROOT, kill, move, popen, remove, sleeps, wait
else:
    from host_windows import JOBS, KILLED, LASTS, ROOT, kill, move, popen, remove, sleeps, wait

__all__ = ["JOBS", "KILLED", "LASTS", "ROOT", "Fault", "kill", "move", "popen", "remove", "sleeps", "wait"]
