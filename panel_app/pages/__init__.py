"""One page a file. A module here that has a PAGE is a page, in the navigation by its order."""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec
import panel as pn

from panel_app.environment import Environment
from panel_app.session import Session


class Page(msgspec.Struct, frozen=True):
    """A page of the app.

    path    : in the URL, "" for the first.
    title   : in navigation and window.
    icon    : a file of assets/icons, without `.svg`.
    order   : place in the navigation; a section is where its first page is.
    section : heading in the navigation, "" for the first, nameless one.
    open    : makes what a session sees.
    needs_device : whether it is about one device, so that links keep it.
    needs_all    : whether it is about all devices, so that only who may see them all is led there.
    """

    path: str
    title: str
    icon: str
    order: int
    open: Callable[[Session, Environment], pn.viewable.Viewable]
    section: str = ""
    needs_device: bool = True
    needs_all: bool = False


def all_pages() -> list[Page]:
    """Find every page."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    pages: list[Any] = [module.PAGE for module in modules if hasattr(module, "PAGE")]
    return sorted(pages, key=lambda page: page.order)
