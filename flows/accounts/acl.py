"""Who may write and read what, as Mosquitto's acl_file says it. What is not allowed is refused."""

from flows.accounts.names import API, FLOW, HEALTH

FIXED = f"""\
# Made by `heatpump accounts`: changes by hand are lost.

user {FLOW}
topic read heatpump/#
topic write heatpump/+/commands
topic write heatpump-live/#
topic write homeassistant/#
topic readwrite heatpump-doctor/#

user {API}
topic deny heatpump/{API}/#
topic read heatpump-live/#

user {HEALTH}
topic deny heatpump/{HEALTH}/#
topic write {HEALTH}
"""

DEVICES = """
# Each device, by its user name. A pattern holds for every account, so those above are denied it.
pattern write heatpump/%u/data
pattern write heatpump/%u/status/#
pattern write heatpump/%u/alerts
pattern read heatpump/%u/commands
pattern read heatpump-live/%u/ack
"""


def acl(shared: str) -> str:
    """Write the file. shared: the account that all devices may use, "" where there is none."""
    return FIXED + (_shared(shared) if shared else "") + DEVICES


def _shared(user: str) -> str:
    return f"""
# All devices that have no account of their own yet, and people who look and try.
user {user}
topic read heatpump/#
topic write heatpump/+/data
topic write heatpump/+/status/#
topic write heatpump/+/alerts
topic readwrite test
"""
