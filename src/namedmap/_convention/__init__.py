"""How a Win32 function or a native call is called and answers in Python, whatever platform carries it out.

    status      the errors of all: NTSTATUS, KernelError, the tables between errno, NTSTATUS and Win32
    call        arguments in; return value and last error out
    messages    texts of errors

Each module imports only from those above it. Nothing here makes a system call.
"""
