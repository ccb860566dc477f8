"""Who connected, out of Mosquitto's log: also where a client tries to be taken for another."""

from flows.accounts.connections import Seen, connections, last_by_user

LOG = """\
run.sh: starts /usr/sbin/mosquitto (tls)
1795913437: New connection from 10.0.0.1:40216 on port 1883.
1795913437: New client connected from 10.0.0.1:40216 as esp-1 (p2, c1, k60, u'site1').
1795913438: New client connected from 10.0.0.2:1 as auto-B1E1CE2E-3323-046C-2EF1-5B7CC65D3C33 (p5, c1, k60, u'heatpump').
1795913439: New client connected from 10.0.0.2:2 as 8D978201-D9DE-B748-7630-0CC51B7CB9E9 (p2, c1, k60, u'heatpump').
1795913440: New client connected from ::1:40236 as x (p2, c1, k60, u'site2'). (p2, c0, k15, u'site1').
1795913441: Client esp-1 disconnected.
1795913442: New client connected from 10.0.0.3:7 as anonymous (p2, c1, k60).
"""


def test_each_user_with_each_client_id_once_newest_first(tmp_path):
    log = tmp_path / "mosquitto.log"
    log.with_name("mosquitto.log.1").write_text(
        "1795913000: New client connected from 10.0.0.9:1 as esp-1 (p2, c1, k60, u'site1').\n"
        "1795913001: New client connected from 10.0.0.9:1 as esp-9 (p2, c1, k60, u'site9').\n"
    )
    log.write_text(LOG)
    seen = connections(log)
    assert seen == [
        Seen("site1", "x (p2, c1, k60, u'site2').", "::1", 1795913440000),
        Seen("heatpump", "", "10.0.0.2", 1795913439000),
        Seen("site1", "esp-1", "10.0.0.1", 1795913437000),
        Seen("site9", "esp-9", "10.0.0.9", 1795913001000),
    ]
    assert last_by_user(seen)["site1"].at == 1795913440000
    assert "site2" not in last_by_user(seen)
