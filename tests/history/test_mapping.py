"""A mapping file is read, and a mistake in it names file, key, value and what is allowed."""

from pathlib import Path

import numpy as np
import pytest

from flows.errors import ConfigError
from flows.history.mapping import MAPPABLE, load_mapping
from flows.history.tally import Tally
from flows.history.units import units_for
from flows.model.quantities import FLAGS

POWER = '[quantity.power]\nfield="p"\n'

FAN = '[quantity.fan_running]\nfield="f"\n'

MISTAKES = [
    ("csv", "x = 1", "map.toml x: 'x' is no part of a mapping"),
    ("csv", "quantity = [", "map.toml: '' is no TOML"),
    ("csv", "[source]\n", "[quantity.*]: '' is missing"),
    (
        "csv",
        '[source]\ndelimeter=";"\n' + POWER,
        "[source] delimeter: ';' is no key here; the keys are time, time_format",
    ),
    ("csv", '[source]\ndelimiter=";;"\n' + POWER, "[source] delimiter: ';;' must be one character"),
    ("csv", '[source]\ndecimal=";"\n' + POWER, "[source] decimal: ';' must be"),
    ("csv", '[source]\nname="n"\n' + POWER, "[source] value: '' name and value belong together"),
    ("csv", '[source]\ntime_format="german"\n' + POWER, "[source] time_format: 'german' must be iso, unix"),
    ("csv", '[source]\ntime_format="%d.%d.%Y"\n' + POWER, "time_format: '%d.%d.%Y' must be iso, unix"),
    ("csv", '[source]\ntime_format="%Q"\n' + POWER, "'Q' is a bad directive"),
    ("csv", '[source]\ntimezone="Berlin"\n' + POWER, "[source] timezone: 'Berlin' must be an IANA time zone"),
    (
        "csv",
        '[source]\nhold="1 hour"\n' + POWER,
        "[source] hold: '1 hour' must be a whole number of s, m, h, d or w",
    ),
    ("csv", '[source]\nhold="8d"\n' + POWER, "[source] hold: '8d' must be at most 7d"),
    ("csv", POWER + 'words={OFF="no"}\n', "[quantity.power] words: {'OFF': 'no'} cannot be used: Expected"),
    ("csv", "[source]\nsorted=3\n" + POWER, "[source] sorted: 3 cannot be used: Expected `bool`, got `int`"),
    (
        "homeassistant",
        '[source]\ntable="events"\n' + POWER,
        "[source] table: 'events' must be states or statistics",
    ),
    ("csv", '[quantity.cop]\nfield="p"\n', "[quantity.cop]: 'cop' is no quantity that can be imported"),
    ("csv", '[quantity.delta_t]\nfield="p"\n', "'delta_t' is no quantity that can be imported"),
    ("csv", "[quantity.power]\n", "Object missing required field `field`"),
    ("csv", '[quantity.power]\nfield=""\n', "[quantity.power] field: '' must name a field"),
    ("csv", POWER + 'unit="°C"\n', "[quantity.power] unit: '°C' cannot become power; it may be W, kW"),
    ("csv", POWER + "above=3\n", "[quantity.power] above: 3.0 is for flags"),
    ("csv", POWER + 'use="median"\n', "[quantity.power] use: 'median' must be mean"),
    ("csv", POWER + "scale=nan\n", "map.toml [quantity.power] scale: nan must be a number that is neither"),
    ("csv", POWER + "scale=-inf\n", "[quantity.power] scale: -inf must be a number"),
    ("csv", POWER + "offset=nan\n", "[quantity.power] offset: nan must be a number"),
    ("csv", FAN + "above=nan\n", "[quantity.fan_running] above: nan must be a number"),
    ("csv", FAN + 'unit="foo"\n', "[quantity.fan_running] unit: 'foo' is not for flags"),
    ("csv", POWER + 'scale="2"\n', "[quantity.power] scale: '2' cannot be used: Expected `float`"),
]


@pytest.mark.parametrize(("kind", "text", "said"), MISTAKES)
def test_a_mistake_is_named(tmp_path, kind, text, said):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_mapping(tmp_path / "map.toml", kind)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "form", ["%d.%m.%y %H:%M", "%Y-%m-%dT%H:%M:%S.%f%z", "%d/%b/%Y %I:%M %p", "%G-%V-%u %Z", "%c", "%j %Y %%"]
)
def test_any_format_that_times_can_be_read_with_is_taken(tmp_path, form):
    (tmp_path / "map.toml").write_text(f'[source]\ntime_format="{form}"\n{POWER}')
    assert load_mapping(tmp_path / "map.toml", "csv").source.time_format == form


def test_a_mapping_that_an_editor_saved_with_a_byte_order_mark_is_the_same_mapping(tmp_path):
    (tmp_path / "plain.toml").write_text(POWER)
    (tmp_path / "marked.toml").write_text(POWER, encoding="utf-8-sig")
    plain, marked = (load_mapping(tmp_path / f"{name}.toml", "csv") for name in ("plain", "marked"))
    assert (marked.text, marked.rules) == (plain.text, plain.rules)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"--map: .* cannot be read"):
        load_mapping(tmp_path / "map.toml", "csv")


@pytest.mark.parametrize("beside", [[], [""], ["?"]], ids=["numbers", "an empty cell", "no number"])
@pytest.mark.parametrize(
    ("keys", "cells", "numbers"),
    [
        ('missing=["-40"]', ["-40", "21.5"], [np.nan, 21.5]),
        ('words={"2"=true}', ["2", "0"], [1.0, 0.0]),
        ('missing=["off"]', ["-40", "21.5"], [-40.0, 21.5]),
    ],
)
def test_a_word_that_is_a_number_means_the_same_whatever_stands_beside_it(tmp_path, beside, keys, cells, numbers):
    (tmp_path / "map.toml").write_text(POWER + keys)
    (rule,) = load_mapping(tmp_path / "map.toml", "csv").rules
    read = rule.numbers([*cells, *beside], Tally())
    assert np.array_equal(read, [*numbers, *[np.nan] * len(beside)], equal_nan=True)


@pytest.mark.parametrize(
    ("cells", "numbers", "wrong"),
    [
        (["1,5", "-0,2", "1500", "1,5e1"], [1.5, -0.2, 1500.0, 15.0], None),
        (["1.500", "1,5"], [np.nan, 1.5], "'1.500'"),
        (["1.500", "1500"], [np.nan, 1500.0], "'1.500'"),
        (["1.500,5", ""], [np.nan, np.nan], "'1.500,5'"),
        (["2,5", "-"], [7.0, np.nan], None),
    ],
)
def test_with_a_decimal_comma_a_point_makes_no_number(tmp_path, cells, numbers, wrong):
    keys = 'words={"2,5"=7}' if "2,5" in cells else ""
    (tmp_path / "map.toml").write_text(f'[source]\ndecimal=","\n{POWER}{keys}')
    (rule,) = load_mapping(tmp_path / "map.toml", "csv").rules
    tally = Tally()
    assert np.array_equal(rule.numbers(cells, tally), numbers, equal_nan=True)
    assert tally.first == ({"power: no number": wrong} if wrong else {})


@pytest.mark.parametrize("path", sorted(Path("docs/how-to/import").glob("*.toml")), ids=lambda path: path.name)
def test_the_examples_are_mappings(path):
    kind = {"logger": "csv", "heat-pump-stats": "csv", "original": "influx"}.get(path.stem, path.stem)
    assert load_mapping(path, kind).rules


@pytest.mark.parametrize("quantity", [name for name in MAPPABLE if name not in FLAGS])
def test_each_quantity_has_its_own_unit_among_those_it_may_come_in(quantity):
    from flows.model.quantities import BY_NAME

    assert units_for(quantity)[BY_NAME[quantity].unit] == (1.0, 0.0)
