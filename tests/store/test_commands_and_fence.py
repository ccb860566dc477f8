"""Commands are kept for ever, once; the fence says how far the store is."""

from flows.store.protocol import Fence

from .conftest import outcome, raw


def test_the_outcome_of_a_command_can_be_asked_for(store):
    done = outcome("c-1", 5, outcome="refused", detail="no such alert", body='{"alert_id":"x"}')
    assert store.reader.command("c-1") is None
    store.apply(done)
    assert store.reader.command("c-1") == done


def test_the_first_outcome_of_an_id_stands(store):
    store.apply(outcome("c-1", 5), outcome("c-1", 6, outcome="refused"))
    store.apply(outcome("c-1", 7, outcome="refused"))
    assert store.reader.command("c-1") == outcome("c-1", 5)


def test_a_new_store_has_no_fence(store):
    assert store.writer.fence() is None


def test_the_fence_is_the_last_one_committed(store):
    for fence in (Fence("a", 10), Fence("a", 20), Fence("b", 7, base=20)):
        store.writer.commit_fence(fence)
        assert store.writer.fence() == fence
    store.reopen()
    assert store.writer.fence() == Fence("b", 7, base=20)


def test_the_fence_is_no_part_of_what_two_stores_are_compared_by(store):
    store.apply(raw(1, 1, voltage=1.0))
    before = store.content()
    store.writer.commit_fence(Fence("a", 10))
    assert store.content() == before
