"""Pure formulas of heat pumps."""
