"""Words that several commands say."""


def counted(number: int, noun: str) -> str:
    """Count things for a person: 1 device, 2 devices."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
