"""reading: the text of one reading of an array is what the device sent of it."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model.reading import Array, elements
from tests.effort import examples

TEXTS = st.text(st.sampled_from('{}[],: a"'), max_size=6).filter(lambda text: '"' not in text)
"""Without escapes, as such an array is; with all that could be taken for the beginning or the end of an object."""

VALUES = st.recursive(
    st.none() | st.integers(-3, 3) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["device", "{", "a,{"]) | TEXTS, VALUES, max_size=3)


@settings(max_examples=examples(500))
@given(st.lists(OBJECTS, min_size=1, max_size=4), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_the_text_of_each_reading_of_an_array_is_its_own(objects, separators):
    payload = json.dumps(objects, separators=separators).encode()
    array = Array(payload, len(objects))
    for place in reversed(range(len(objects))):
        assert array.text(place) == bytes(elements(payload)[place])
