"""A store as text: two stores are equal if and only if their dumps are."""

from collections.abc import Iterator
from pathlib import Path

from flows.model.influx_address import InfluxAddress
from flows.store import StoreAddress


def dump(address: StoreAddress) -> Iterator[str]:
    """Give every row of every table as one line: table, then what has a value, by name.

    The fence is left out, which moves by itself. Rows of raw and rollup tables are in the order of device and
    time, others in that of their text.
    """
    if isinstance(address, InfluxAddress):
        from flows.store.influx.dump import dump as dump_server

        return dump_server(address)
    from flows.store.sqlite.dump import dump as dump_file

    return dump_file(Path(address))
