"""The built-in driving world: signs, roads and lanes, drawn by a program.

`__all__` of a module names what other rooms and notebooks use; names without an underscore that are
not in it are shared inside this room alone."""
