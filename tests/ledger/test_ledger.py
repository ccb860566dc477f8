"""Short ledger runs; the long ones are scripts/ledger.py, their figures are in docs/reliability.md."""

import os

import pytest

from tests.influxd import BINARY
from tests.ledger.runner import Options, run

SHORT = Options(seconds=14, devices=4, kills=5, broker_kills=1, seed="short")
SERVER = SHORT._replace(rate=250, kills=3, influxd=os.environ.get(BINARY, ""), influx_kills=2)


def check(outcome, options, fewest):
    assert outcome.verdict.differences == []
    counts = outcome.verdict.counts
    assert counts["stored"] == counts["distinct"] > fewest
    assert min(counts[name] for name in ("1m rows", "1h rows", "1d rows", "transitions", "events")) > 0
    assert outcome.killed["flow"] + outcome.killed["api"] == options.kills and outcome.killed["broker"] == 1


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_while_everything_is_killed(tmp_path):
    check(run(tmp_path, SHORT, say=lambda _: None), SHORT, 5000)


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_while_the_server_store_is_killed_too(tmp_path):
    if not SERVER.influxd:
        pytest.skip(f"{BINARY} names no influxd: no server store is killed")
    outcome = run(tmp_path, SERVER, say=lambda _: None)
    check(outcome, SERVER, 2000)
    assert outcome.killed["influxd"] == SERVER.influx_kills
