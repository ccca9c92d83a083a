"""The kinds of defects, grouped by what they do: one function each, listed in `lsfa_cli.pasting.KINDS`.

A kind is a function (scene, generator) -> draft, or None where the place that it drew does not suit it: then it is
asked again. Lengths are shares of the part's size, or millimetres on a part of the reference size (`Scene.metres`).
"""
