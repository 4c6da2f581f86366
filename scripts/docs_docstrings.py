"""Extension of griffe for the reference: docstrings as Markdown, and signatures with inherited arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

_ROLE = re.compile(r":(?:[a-z]+:)?(?:attr|class|data|exc|func|meth|mod|obj):`([~.]*)([^`<]+?)(?: <[^`>]+>)?`")
_PARAMETER = re.compile(r"^ *:param (\w+):", re.MULTILINE)


def as_markdown(text: str) -> str:
    """Replace roles of reStructuredText, such as ``:class:`~package.module.Name```, by code in Markdown."""

    def code(role: re.Match[str]) -> str:
        return f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`"

    return _ROLE.sub(code, text)


class Docstrings(griffe.Extension):
    """Docstrings in Markdown, and signatures with the arguments that a class passes to its base."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:  # noqa: ARG002
        """Convert the docstring of a class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:  # noqa: ARG002
        """Complete the signatures, after all bases are loaded."""
        for cls in _classes(pkg):
            _add_inherited_parameters(cls)


def _classes(obj: griffe.Object) -> Iterator[griffe.Class]:
    for member in obj.members.values():
        if isinstance(member, griffe.Object) and (member.is_module or member.is_class):
            if isinstance(member, griffe.Class):
                yield member
            yield from _classes(member)


def _add_inherited_parameters(cls: griffe.Class) -> None:
    """Add documented arguments that ``**kwargs`` passes on to the signature."""
    init = cls.members.get("__init__")
    if cls.docstring is None or not isinstance(init, griffe.Function):
        return
    own_names = {parameter.name for parameter in init.parameters}
    documented = [name for name in _PARAMETER.findall(cls.docstring.value) if name not in own_names]
    variadic = [
        parameter for parameter in init.parameters if parameter.kind is griffe.ParameterKind.var_keyword
    ]
    if not documented or not variadic:
        return
    inherited = {
        parameter.name: parameter
        for base in reversed(cls.mro())
        if isinstance(init_of := base.members.get("__init__"), griffe.Function)
        for parameter in init_of.parameters
    }
    own = [parameter for parameter in init.parameters if parameter not in variadic]
    named = [inherited[name] for name in documented if name in inherited]
    init.parameters = griffe.Parameters(*own, *named, *variadic)
