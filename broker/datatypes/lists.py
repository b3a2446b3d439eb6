class ListValue:
    def __init__(self) -> None:
        self.size = 0

    def __len__(self) -> int:
        return self.size
