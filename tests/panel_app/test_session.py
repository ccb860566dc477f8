"""A page that cannot do what it should does not call itself live."""

import asyncio

from bokeh.document import Document
from panel.io.state import set_curdoc

from panel_app.account import OWN
from panel_app.components.bar import pulse
from panel_app.session import Session
from panel_app.site import Site


def a_session(document: Document) -> Session:
    with set_curdoc(document):
        return Session(Site("http://127.0.0.1:9", "", OWN))


def run_due(document: Document) -> None:
    for callback in document.session_callbacks:
        document.remove_next_tick_callback(callback)
        callback.callback()


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
