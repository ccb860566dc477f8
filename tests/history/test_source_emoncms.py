"""What Emoncms keeps gives the readings that are in it."""

import json

import numpy as np
import pytest

from flows.errors import ConfigError
from flows.history.mapping import load_mapping
from flows.history.source import opened
from flows.history.tally import Tally
from tests.history.formats import (
    write_feeds,
    write_phpfina,
    write_phptimeseries,
)
from tests.history.read import MINUTE, Read, T


def test_emoncms_feeds_of_both_engines_by_name_tag_and_number(tmp_path):
    nan = float("nan")
    write_phpfina(tmp_path / "phpfina", 1, T // 1000, 60, [1000.0, nan, 1200.0])
    write_phptimeseries(tmp_path / "phptimeseries", 2, {T: 30.5, T + 2 * MINUTE: 31.5})
    write_feeds(tmp_path, {1: "elec", 2: "flowT"})
    (tmp_path / "7.csv").write_text("1728540060,12.5\n")
    mapping = (
        '[quantity.power]\nfield="elec"\n[quantity.temp_outlet]\nfield="heatpump:flowT"\n'
        '[quantity.flow_rate]\nfield="7"'
    )
    assert Read("emoncms", tmp_path, mapping, tmp_path).rows == {
        T: {"power": 1000.0, "temp_outlet": 30.5},
        T + MINUTE: {"flow_rate": 12.5},
        T + 2 * MINUTE: {"power": 1200.0, "temp_outlet": 31.5},
    }
    with pytest.raises(ConfigError, match=r"\[quantity.power\] field: 'gone' is no feed .* elec, .*flowT"):
        Read("emoncms", tmp_path, '[quantity.power]\nfield="gone"', tmp_path)
    (tmp_path / "phpfina" / "1.meta").unlink()
    with pytest.raises(
        ConfigError, match=r"'elec' is feed 1 of feeds.json, but .* has no 1.meta, feed_1.MYD or 1.csv"
    ):
        Read("emoncms", tmp_path, '[quantity.power]\nfield="elec"', tmp_path)


@pytest.mark.parametrize("head", ["", "time,value\n", "\n"])
def test_rows_of_a_csv_of_emoncms_are_counted_as_read_and_a_header_is_none(tmp_path, head):
    lines = ["2024-10-10T06:00:00Z,1", "yesterday,2", "2024-10-10T06:01:00Z", "2024-10-10T06:02:00Z,3"]
    (tmp_path / "p.csv").write_text(head + "\n".join(lines) + "\n")
    read = Read("emoncms", tmp_path, '[quantity.power]\nfield="p"', tmp_path)
    assert read.rows == {T: {"power": 1.0}, T + 2 * MINUTE: {"power": 3.0}}
    assert read.tally.rows == 4
    wrong = "another number of cells than time,value in p.csv"
    assert read.tally.refused == {"no time in p.csv": 1, wrong: 1}
    row = 3 if head else 2
    assert read.tally.first["no time in p.csv"].startswith(f"row {row}: 'yesterday'")
    assert read.tally.first[wrong].startswith(f"row {row + 1}: ")


def test_a_name_that_several_feeds_of_emoncms_have_is_refused_with_what_tells_them_apart(tmp_path):
    feeds = [("1", "a", "dup"), ("2", "b", "dup"), ("3", "a", "twin"), ("4", "a", "twin"), ("5", "a", "one")]
    named = [{"id": number, "tag": tag, "name": name} for number, tag, name in feeds]
    (tmp_path / "feeds.json").write_text(json.dumps(named))
    for number, _, _ in feeds:
        write_phpfina(tmp_path, int(number), T // 1000, 60, [float(number)])

    def power(field: str) -> float:
        return Read("emoncms", tmp_path, f'[quantity.power]\nfield="{field}"', tmp_path).rows[T]["power"]

    assert [power(field) for field in ("a:dup", "b:dup", "4", "one")] == [1.0, 2.0, 4.0, 5.0]
    for field, said in {"dup": "a:dup, b:dup", "twin": "3, 4", "a:twin": "3, 4"}.items():
        with pytest.raises(
            ConfigError, match=rf"power\] field: '{field}' is the name of several .* one of {said}$"
        ):
            power(field)


def test_a_feed_of_emoncms_with_impossible_times_is_told_as_that(tmp_path):
    write_phpfina(tmp_path, 1, 0, 60, [1.0] * 3)
    write_phpfina(tmp_path, 2, 4_102_444_800, 60, [float("nan"), 1.0])
    write_phpfina(tmp_path, 3, 0xFFFFFFFF, 0xFFFFFFFF, [1.0] * 50_000)
    write_phptimeseries(tmp_path, 4, {0: 1.0, T: 2.0, 4_102_444_800_000: 3.0})
    feeds = {"power": 1, "temp_inlet": 2, "temp_outlet": 3, "flow_rate": 4}
    mapping = "".join(f'[quantity.{name}]\nfield="{feed}"\n' for name, feed in feeds.items())
    read = Read("emoncms", tmp_path, mapping, tmp_path)
    assert read.rows == {T: {"flow_rate": 2.0}}
    assert read.tally.rows == 3 + 2 + 50_000 + 3
    assert read.tally.refused == {
        "a time before 2000 in 1.meta": 3,
        "a time after now in 2.meta": 1,
        "a time after now in 3.meta": 50_000,
        "a time before 2000 in feed_4.MYD": 1,
        "a time after now in feed_4.MYD": 1,
    }
    assert read.tally.first["a time after now in 2.meta"] == "row 2: '4102444860' (time_format \"unix\")"


def test_a_long_series_is_read_in_blocks_of_bounded_size(tmp_path):
    write_phpfina(tmp_path, 1, 1_600_000_000, 10, [float(n % 500) for n in range(100_000)])
    path = tmp_path / "map.toml"
    path.write_text('[quantity.power]\nfield="1"')
    with opened("emoncms", str(tmp_path), load_mapping(path, "emoncms"), Tally()) as tables:
        sizes = [len(table.at) for table in tables]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 20_000
    assert np.isclose(min(sizes), 20_000)
