"""What the reference is told of the sources beyond what stands in them, as an extension of griffe, which reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

_ROLE = re.compile(r":(?:[a-z]+:)?(?:attr|class|data|exc|func|meth|mod|obj):`([~.]*)([^`<]+?)(?: <[^`>]+>)?`")
_PARAMETER = re.compile(r"^ *:param (\w+):", re.MULTILINE)


def as_markdown(text: str) -> str:
    """Roles of reStructuredText, such as ``:class:`~package.module.Name```, as code, which Markdown knows."""

    def code(role: re.Match[str]) -> str:
        return f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`"

    return _ROLE.sub(code, text)


class Docstrings(griffe.Extension):
    """Docstrings in Markdown, and signatures with the arguments that a class hands on to its base."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:  # noqa: ARG002
        """Called once for each class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:  # noqa: ARG002
        """Called when all is read, so that bases are known."""
        for cls in _classes(pkg):
            _name_handed_on(cls)


def _classes(obj: griffe.Object) -> Iterator[griffe.Class]:
    for member in obj.members.values():
        if isinstance(member, griffe.Object) and (member.is_module or member.is_class):
            if isinstance(member, griffe.Class):
                yield member
            yield from _classes(member)


def _name_handed_on(cls: griffe.Class) -> None:
    """Put the arguments that the docstring tells of, and ``**kwargs`` hands on, into the signature."""
    init = cls.members.get("__init__")
    if cls.docstring is None or not isinstance(init, griffe.Function):
        return
    known = {parameter.name for parameter in init.parameters}
    wanted = [name for name in _PARAMETER.findall(cls.docstring.value) if name not in known]
    rest = [parameter for parameter in init.parameters if parameter.kind is griffe.ParameterKind.var_keyword]
    if not wanted or not rest:
        return
    handed_on = {
        parameter.name: parameter
        for base in reversed(cls.mro())
        if isinstance(init_of := base.members.get("__init__"), griffe.Function)
        for parameter in init_of.parameters
    }
    own = [parameter for parameter in init.parameters if parameter not in rest]
    named = [handed_on[name] for name in wanted if name in handed_on]
    init.parameters = griffe.Parameters(*own, *named, *rest)
