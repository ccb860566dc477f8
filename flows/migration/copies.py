"""A copy of the recovery state at hand, so that the flow that goes on has little to replay."""

from pathlib import Path


def copy_recovery(data: Path) -> int | None:
    """Copy the recovery state of a data folder, while it is in use or not; None where it has none.

    Before the fence is taken: recovery state is never ahead of a fence, so the copy is at or before the one that
    follows, and is what the flow goes on from (see flows/recovery.py). Returns the frame at which it stands.
    """
    from flows.recovery import copy_now

    return copy_now(data / "recovery", data / "recovery-copies")
