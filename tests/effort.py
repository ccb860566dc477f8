"""How many examples a property test tries: all of them, or a tenth in `./scripts/test --fast`."""

import os

FAST = "HEATPUMP_TEST_FAST"


def examples(count: int) -> int:
    """Scale a number of examples."""
    return max(count // 10, 5) if os.environ.get(FAST) else count
