"""An access to memory that faulted."""


class Fault(Exception):
    """`kind` is the AV, GUARD or INPAGE of the results; the bytes before `index` were transferred."""

    def __init__(self, kind: str, index: int = 0) -> None:
        super().__init__(kind, index)
        self.kind, self.index = kind, index
