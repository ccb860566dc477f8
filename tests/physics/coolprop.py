"""The mark of tests that load CoolProp."""

import pytest

loads_coolprop = pytest.mark.slow
"""Of what computes a saturation temperature: loading CoolProp alone takes two seconds of a processor."""
