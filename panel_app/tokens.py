"""The colours of the design, for both themes: CSS variables and plots read this one table."""

from typing import Literal

import msgspec

Theme = Literal["light", "dark"]


class Tokens(msgspec.Struct, frozen=True):
    """Colours of one theme, as CSS writes them.

    page, card, sunken          : surfaces.
    line, control, grid, track, hatch : decoration.
    text, secondary, faint      : words; at least 4.5 : 1 on card.
    ink, ink_tint               : links, selection, focus.
    critical, critical_tint     : trouble that needs somebody.
    warning, warning_fill, warning_tint : trouble worth a look; fill for marks.
    """

    page: str
    card: str
    sunken: str
    line: str
    control: str
    grid: str
    track: str
    hatch: str
    text: str
    secondary: str
    faint: str
    ink: str
    ink_tint: str
    critical: str
    critical_tint: str
    warning: str
    warning_fill: str
    warning_tint: str


TOKENS: dict[Theme, Tokens] = {
    "light": Tokens(
        page="#F3F5F7",
        card="#FFFFFF",
        sunken="#F7F9FA",
        line="#DCE1E6",
        control="#C3CAD2",
        grid="#E9ECEF",
        track="#D5DBE1",
        hatch="#AEB7C0",
        text="#17202A",
        secondary="#53606D",
        faint="#616D79",
        ink="#1F3A56",
        ink_tint="#E6ECF2",
        critical="#C3282D",
        critical_tint="#FDEBEA",
        warning="#8F5600",
        warning_fill="#B87900",
        warning_tint="#FFF3DC",
    ),
    "dark": Tokens(
        page="#0E1216",
        card="#161B21",
        sunken="#12171C",
        line="#29313A",
        control="#3D4853",
        grid="#222931",
        track="#343E49",
        hatch="#56626E",
        text="#E4E9EE",
        secondary="#A2AEBA",
        faint="#8995A1",
        ink="#A9C6E4",
        ink_tint="#212C38",
        critical="#FF7B72",
        critical_tint="#361A1B",
        warning="#F0B44C",
        warning_fill="#D99A1E",
        warning_tint="#2F2412",
    ),
}


def css_variables(theme: Theme) -> str:
    """Write a theme as CSS declarations: `--page: #F3F5F7; …`."""
    colours = msgspec.structs.asdict(TOKENS[theme])
    return " ".join(f"--{name.replace('_', '-')}: {colour};" for name, colour in colours.items())
