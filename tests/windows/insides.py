"""The insides of `namedmap._windows` that tests look into or bend; it can be imported on Windows only."""

from namedmap._windows import calling as calling
from namedmap._windows import dll as dll
from namedmap._windows import guarded as guarded
