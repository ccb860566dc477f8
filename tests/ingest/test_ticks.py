from flows.ingest.ticks import Seconds


def run(seconds, asked, answered):
    return seconds.ends(asked) and seconds.confirmed(answered)


def test_each_second_whose_end_the_broker_confirms_counts():
    seconds = Seconds(n=7)
    seconds.subscribed(100.0)
    assert not seconds.ends(100.9)
    assert run(seconds, 101.05, 101.06)
    assert not seconds.ends(101.9)
    assert run(seconds, 102.0, 102.1)
    assert seconds.n == 9


def test_the_broker_is_asked_once_a_second():
    seconds = Seconds(0)
    seconds.subscribed(100.0)
    assert seconds.ends(101.0)
    assert not seconds.ends(101.5)


def test_without_a_subscription_nothing_counts():
    seconds = Seconds(0)
    assert not seconds.ends(500.0)
    seconds.subscribed(500.0)
    assert seconds.ends(501.0)
    seconds.lost()
    assert not seconds.confirmed(501.1)
    seconds.subscribed(600.0)
    assert not seconds.ends(600.9)
    assert seconds.n == 0


def test_a_broker_that_was_stopped_makes_no_seconds_for_that_time():
    seconds = Seconds(0)
    seconds.subscribed(100.0)
    assert not run(seconds, 101.0, 130.0)
    assert not seconds.ends(130.5)
    assert run(seconds, 131.0, 131.1)
    assert seconds.n == 1


def test_a_flow_that_was_stopped_makes_no_seconds_for_that_time():
    seconds = Seconds(0)
    seconds.subscribed(100.0)
    assert not run(seconds, 130.0, 130.1)
    assert run(seconds, 131.1, 131.2)
    assert seconds.n == 1
