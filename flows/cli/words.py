"""Words that several commands say."""


def counted(number: int, noun: str) -> str:
    """Count things for a person: 1 device, 2 devices."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """Show what devices sent without obeying it: no control character reaches the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
