"""Hook of mkdocs: adds pages from outside ``docs/`` and the generated reference, and rewrites links.

A Git host shows README.md and ``docs/`` as files; the site has only pages. So the files of :data:`OUTSIDE` become
pages, and each link to a file of the repository becomes a link to its page. A link to any other file leads to
``repo_url``, or becomes plain text without one.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "include/crm/README.md": "sample-data.md",
    "include/sandbox/README.md": "sandbox.md",
}
"""Files of the repository to the pages that are generated from them."""

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r" *(`{3,}|~{3,})")
_CODE = re.compile(r"(`+)(?:.+?)\1")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

VENDORS = {"digital_audience": "Digital Audience", "fanfare": "Fanfare", "commbox": "CommBox"}
GROUPS = {
    "Operators": ("operators", "upload", "approval"),
    "Sensors": ("sensors",),
    "Triggers": ("triggers",),
    "Hook": ("hooks",),
    "Links": ("links",),
    "Client": ("client",),
    "Connection settings": ("connection",),
}
"""Heading of a vendor's page to the modules of its package."""

SHARED = {
    "Operators": (
        "base.upload_operator",
        "base.operators",
        "base.snapshot_diff",
        "base.load",
        "crm.sources.options",
        "base.prerequisites",
        "crm.guards",
        "crm.output.profiles",
    ),
    "Sensors and triggers": ("base.sensors", "base.triggers"),
    "Hooks": ("base.hooks",),
    "Links": ("base.links",),
    "Retries": ("base.retry_policy",),
}
"""Heading of the page of the shared API to modules; the page lists their public classes."""

REFERENCE = "reference/python"
"""Folder of the pages that are generated from docstrings."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    root = Path(config.config_file_path).parent
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    for page, content in reference_pages(root / "plugins" / "audience_onboarding"):
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Rewrite the links of a page so that they lead to pages."""
    uri = page.file.src_uri
    if uri.startswith(f"{REFERENCE}/"):
        return markdown
    sources = {to: source for source, to in OUTSIDE.items()}
    return with_links(
        markdown,
        source=sources.get(uri, f"{Path(config.docs_dir).name}/{uri}"),
        root=Path(config.config_file_path).parent,
        repo_url=config.repo_url or "",
    )


# --- links ----------------------------------------------------------------------------------------------------


def with_links(markdown: str, *, source: str, root: Path, repo_url: str = "") -> str:
    """Return a page with the links of the site instead of those of the repository.

    :param source: the page's path in the repository.
    :param root: the repository.
    :param repo_url: address that shows its files; empty: none.
    """
    here = posixpath.dirname(page_of(source) or source)

    def replaced(link: re.Match[str]) -> str:
        path, mark, anchor = link["target"].partition("#")
        if not path or _SCHEME.match(path) or path.startswith("/"):
            return link[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        page = page_of(wanted)
        if page is not None:
            target = posixpath.relpath(page, here or ".")
            return f"{link['image']}[{link['text']}]({target}{mark}{anchor})"
        if not (root / wanted).exists():
            # mkdocs reports the broken link with its place.
            return link[0]
        if repo_url:
            return f"[{link['text']}]({repo_url.rstrip('/')}/blob/HEAD/{wanted}{mark}{anchor})"
        return str(link["text"])

    return "".join(_outside_code(markdown, replaced))


def page_of(path: str) -> str | None:
    """Return the page or picture of the site for a file of the repository, or ``None``.

    :param path: in the repository.
    """
    if path in OUTSIDE:
        return OUTSIDE[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def _outside_code(markdown: str, replaced: Any) -> Iterator[str]:
    fence, text = "", ""
    for line in [*markdown.splitlines(keepends=True), ""]:
        begins = _FENCE.match(line)
        is_code = bool(fence)
        if begins and not fence:
            fence = begins[1]
        elif begins and line.strip() == fence:
            fence = ""
        if not is_code and not fence and line:
            # A link may span lines.
            text += line
            continue
        yield _replace(text, replaced)
        text = ""
        yield line


def _replace(text: str, replaced: Any) -> str:
    code: list[str] = []

    def kept(match: re.Match[str]) -> str:
        code.append(match[0])
        return f"\0{len(code) - 1}\0"

    hidden = _CODE.sub(kept, text)
    return re.sub(r"\0(\d+)\0", lambda match: code[int(match[1])], _LINK.sub(replaced, hidden))


# --- the reference --------------------------------------------------------------------------------------------


def reference_pages(package: Path) -> Iterator[tuple[str, str]]:
    """Return the pages of the reference: names of public objects, for which mkdocstrings adds the text."""
    for vendor, title in VENDORS.items():
        module_path = f"audience_onboarding.platforms.{vendor}"
        intro = (
            f"Generated from the docstrings. Import the names from `{module_path}`; triggers and links from its "
            "modules `triggers` and `links`."
        )
        groups = {
            heading: [
                f"{module_path}.{module}.{name}"
                for module in modules
                for name in public_names(package / "platforms" / vendor, module)
            ]
            for heading, modules in GROUPS.items()
        }
        yield f"{REFERENCE}/{vendor.replace('_', '-')}.md", _page(title, intro, groups)
    shared = {
        heading: [name for module in modules for name in _names(package, module)]
        for heading, modules in SHARED.items()
    }
    intro = "Base classes of all platforms, with their arguments."
    yield f"{REFERENCE}/shared.md", _page("Shared API", intro, shared)
    models = {"On every platform": _names(package, "definitions.models")}
    for vendor, title in VENDORS.items():
        models[f"On {title}"] = _names(package, f"platforms.{vendor}.definition")
    intro = "The pydantic models of the YAML files. Meaning of the fields, with examples: "
    intro += "[Definitions](../definitions/README.md)."
    yield (
        f"{REFERENCE}/definition-models.md",
        # Fields without a docstring are listed too: name, type and default are enough for some.
        _page("Definition models", intro, models, options={"show_if_no_docstring": "true"}),
    )
    intro = "Causes and fixes: [Troubleshooting by error](../../how-to/troubleshooting.md)."
    yield f"{REFERENCE}/errors.md", _page("Errors", intro, {"Classes": _names(package, "exceptions")})


def public_names(folder: Path, module: str) -> list[str]:
    """Return the exported names of a vendor's module; of triggers and links, all public classes."""
    if module in {"triggers", "links"}:
        return _classes(folder / f"{module}.py")
    exported: dict[str, str] = {}
    for node in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_MODULES":
            exported = ast.literal_eval(node.value)
    return sorted(name for name, home in exported.items() if home == module)


def _names(package: Path, module: str) -> list[str]:
    path = package.joinpath(*module.split(".")).with_suffix(".py")
    return [f"audience_onboarding.{module}.{name}" for name in _classes(path)]


def _classes(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def _page(
    title: str, intro: str, groups: dict[str, list[str]], *, options: dict[str, str] | None = None
) -> str:
    lines = [f"# {title}", "", intro, ""]
    for heading, names in groups.items():
        if names:
            lines += [f"## {heading}", ""]
            for name in names:
                lines.append(f"::: {name}")
                if options:
                    lines += ["    options:", *(f"      {key}: {value}" for key, value in options.items())]
                lines.append("")
    return "\n".join(lines)
