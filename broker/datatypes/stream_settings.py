"""What XCFGSET keeps with a stream: retention, and the window in which an added entry is recognised again."""


class StreamSettings:
    """Nothing is set. Owned by a Stream; None there means that nothing ever was."""

    def copy(self) -> "StreamSettings":
        return StreamSettings()
