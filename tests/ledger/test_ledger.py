"""A short ledger run; the long one is scripts/ledger.py, its figures are in docs/reliability.md."""

import pytest

from tests.ledger.runner import Options, run

SHORT = Options(seconds=14, devices=4, kills=5, broker_kills=1, seed="short")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nothing_is_lost_or_doubled_while_everything_is_killed(tmp_path):
    outcome = run(tmp_path, SHORT, say=lambda _: None)
    assert outcome.verdict.differences == []
    counts = outcome.verdict.counts
    assert counts["stored"] == counts["distinct"] > 5000
    assert min(counts[name] for name in ("1m rows", "1h rows", "1d rows", "transitions", "events")) > 0
    assert outcome.killed["flow"] + outcome.killed["api"] == SHORT.kills and outcome.killed["broker"] == 1
