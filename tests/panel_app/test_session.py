"""An open page: what was chosen and its URL are one; one that cannot do what it should does not call itself live."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import panel as pn
from bokeh.document import Document
from panel.io.location import Location
from panel.io.state import set_curdoc

from panel_app.account import OWN
from panel_app.components.bar import pulse
from panel_app.session import Session
from panel_app.site import Site


def a_session(document: Document) -> Session:
    with set_curdoc(document):
        return Session(Site("http://127.0.0.1:9", "", OWN))


@contextmanager
def a_page_at(search: str) -> Iterator[tuple[Session, Location]]:
    """A session, and the address it was opened by; `search` of it is what the browser shows."""
    with set_curdoc(Document()):
        location = pn.state.location
        assert location is not None
        location.search = search
        yield Session(Site("http://127.0.0.1:9", "", OWN)), location


def run_due(document: Document) -> None:
    for callback in document.session_callbacks:
        document.remove_next_tick_callback(callback)
        callback.callback()


def test_a_page_that_is_opened_leaves_its_url_as_it_is():
    for search in ("", "?device=site1", "?span=7d&device=007&other=1", "?span="):
        with a_page_at(search) as (_, location):
            assert location.search == search


def test_what_is_chosen_is_in_the_url_and_nothing_else():
    with a_page_at("?device=007") as (session, location):
        assert session.selection.device == "007"
        session.selection.param.update(span="custom", start="2026-01-01T00:00:00+00:00")
        assert location.search == "?device=007&span=custom&start=2026-01-01T00%3A00%3A00%2B00%3A00"
        session.selection.param.update(span="", start="")
        assert location.search == "?device=007"


def test_back_to_a_url_that_does_not_name_a_choice_takes_it_back():
    with a_page_at("?device=site1") as (session, location):
        session.selection.span = "7d"
        location.search = "?device=site1"
        assert session.selection.span == ""
        assert location.search == "?device=site1"
        location.search = "?device=site1&span=30d&node=alert"
        assert (session.selection.span, session.selection.node) == ("30d", "alert")


def test_what_cannot_be_drawn_is_remembered_until_it_can():
    document, wrong = Document(), [True]

    def draw() -> None:
        if wrong:
            raise KeyError("a field that nobody thought of")

    session = a_session(document)
    session._load()
    session.soon(draw)
    run_due(document)
    assert session.failing == {draw}
    wrong.clear()
    session.soon(draw)
    run_due(document)
    assert session.failing == set()


def test_a_task_that_ends_by_an_error_is_remembered_and_one_broken_off_is_not():
    async def live() -> Session:
        async def fail() -> None:
            raise KeyError("a field that nobody thought of")

        session = a_session(Document())
        failed, endless = session.begin(fail()), session.begin(asyncio.sleep(600))
        await asyncio.wait({failed})
        session._end(None)
        await asyncio.wait({endless})
        assert session.failing == {failed}
        return session

    assert not asyncio.run(live())._tasks


def test_the_bar_does_not_call_a_failing_page_live():
    assert "Not all live: reload" in pulse(True, 0.0, failing=True)
    assert "Not all live" not in pulse(True, 0.0)


def test_the_time_in_the_bar_says_what_it_is_of():
    assert 'title="When the newest reading or alert came, of any device">18:56:50 UTC' in pulse(
        True, 1_764_442_610.0
    )
    assert "title" not in pulse(True, 0.0)
