"""The golden pack, a checker that says what a port of ConvBERT does wrong, and a score of the checker.

`check` compares a port with the pack. `make` writes the pack. `score` plants every mistake of the catalogue, and
reports whether each is caught and named. README.md beside this file is the guide for authors of ports.
"""

_HOMES = {"make": "pack", "read_pack": "pack", "check": "checker", "score": "scoring"}
__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value
