"""The built-in driving world: signs, roads and lanes, drawn by a program."""
