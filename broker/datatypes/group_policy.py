"""What XGROUP POLICY keeps with a consumer group: leases, attempts, dead letters, limits, order."""


class GroupPolicy:
    """Nothing is set. Owned by a Group; None there means that the group behaves as Redis's."""

    def copy(self) -> "GroupPolicy":
        return GroupPolicy()
