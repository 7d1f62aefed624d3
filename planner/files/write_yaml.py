"""Values as YAML that this planner reads back as the same values."""

from __future__ import annotations

import sys
from typing import Any

import yaml

from planner.files.plain_yaml import plain_value

_FOLDED = frozenset("\x85\u2028\u2029")
"""Line ends of other systems, which readers fold into a blank unless they are escaped."""


class _Dumper(yaml.SafeDumper):
    """Quotes every text that this planner's reader would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value again where it stands twice: people read no anchors."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    as_it_is = isinstance(plain_value(text), str) and not _FOLDED.intersection(text)
    style = None if as_it_is else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def block(value: Any) -> str:
    """A value over many lines, as in a file.

    Examples
    --------
    >>> print(block({"name": "a", "rate": 1e3, "note": "1e3"}), end="")
    name: a
    rate: 1000.0
    note: "1e3"
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def flow(value: Any) -> str:
    """A value on one line.

    Examples
    --------
    >>> flow({"months": ["2027-01", "no: 1"], "n": [1, 0.5]})
    "{months: [2027-01, 'no: 1'], n: [1, 0.5]}"
    """
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=sys.maxsize,
        default_flow_style=True,
    )
    return text.removesuffix("...\n").rstrip("\n")
