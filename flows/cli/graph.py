"""heatpump graph: the node graph, drawn."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    """How to draw it."""

    text = "text"
    mermaid = "mermaid"


def graph(
    form: Annotated[Form, typer.Option("--format", help="As text, or as a Mermaid flowchart.")] = Form.text,
    file: Annotated[
        Path | None, typer.Option("--graph", help="Graph file; else HEATPUMP_GRAPH, else the shipped one.")
    ] = None,
) -> None:
    """Check the node graph and print it.

    A mistake in the file is named by its line.

    Examples:
      heatpump graph

      heatpump graph --format mermaid --graph mine.toml
    """
    from flows.errors import ConfigError
    from flows.graph import describe
    from flows.settings import load_settings

    try:
        typer.echo(describe(load_settings(graph=file).graph, form.value))
    except ConfigError as error:
        if file is None or error.name != "HEATPUMP_GRAPH":
            raise
        raise ConfigError("--graph", error.value, error.allowed) from None
