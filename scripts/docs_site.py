"""What mkdocs is told beyond mkdocs.yml: pages from outside ``docs/``, the reference, links that work in both places.

A Git host shows README.md and ``docs/`` as they lie there; the site has only pages. So the files of :data:`OUTSIDE` are
pages as well, and each link to a file of the repository becomes one to its page. What is no page is linked to where the
sources are shown (``repo_url``), or is no link.
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
"""Files of the repository to the pages that are made of them."""

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r" *(`{3,}|~{3,})")
_CODE = re.compile(r"(`+)(?:.+?)\1")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

VENDORS = {"digital_audience": "Digital Audience", "fanfare": "Fanfare", "commbox": "CommBox"}
GROUPS = {
    "Operators": ("onboarding", "operators", "approval"),
    "Sensors": ("sensors",),
    "Triggers": ("triggers",),
    "Hook": ("hooks",),
    "Links": ("links",),
    "Client": ("client",),
    "Settings": ("settings",),
}
"""Heading of a vendor's page to the modules of its package."""

SHARED = {
    "Operators": (
        "base.upload_operator.OnboardCrmOperator",
        "base.upload_operator.Rejects",
        "base.operators.PlatformOperator",
        "base.snapshot_diff.StateFolder",
        "base.source_options.SourceOptions",
        "base.prerequisites.TakesItsTurn",
        "base.prerequisites.WaitForTurnOperator",
        "crm.guards.Guards",
        "crm.output.profiles.SourceColumn",
        "crm.output.profiles.FileProfile",
    ),
    "Sensors and triggers": ("base.sensors.PlatformSensor", "base.triggers.PollingTrigger"),
    "Hooks": ("base.hooks.PlatformHook", "base.hooks.BearerHook"),
    "Links": ("base.links.PortalLink",),
    "Retries": ("base.retry_policy.OnboardingRetryPolicy",),
}
"""What the classes of the vendors are built on, and what they take."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    root = Path(config.config_file_path).parent
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    for page, content in reference_pages(root / "plugins" / "audience_onboarding"):
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Have the links of a page lead to pages."""
    uri = page.file.src_uri
    if uri.startswith("reference/"):
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
    """A page with the links of the site instead of those of the repository.

    :param source: the page's path in the repository.
    :param root: the repository.
    :param repo_url: where its files are shown; empty: nowhere.
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
            # mkdocs says where the broken link is.
            return link[0]
        if repo_url:
            return f"[{link['text']}]({repo_url.rstrip('/')}/blob/HEAD/{wanted}{mark}{anchor})"
        return str(link["text"])

    return "".join(_outside_code(markdown, replaced))


def page_of(path: str) -> str | None:
    """The page, or the picture, that a file of the repository is on the site; ``None`` if it is none.

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
    """The pages of the reference: names of what is public, from which mkdocstrings makes the text."""
    for vendor, title in VENDORS.items():
        intro = (
            f"Made from the docstrings. The names come from `audience_onboarding.platforms.{vendor}`; triggers and "
            "links from its modules `triggers` and `links`."
        )
        groups = {
            heading: [
                f"audience_onboarding.platforms.{vendor}.{module}.{name}"
                for module in modules
                for name in public_names(package / "platforms" / vendor, module)
            ]
            for heading, modules in GROUPS.items()
        }
        yield f"reference/{vendor.replace('_', '-')}.md", _page(title, intro, groups)
    shared = {heading: [f"audience_onboarding.{name}" for name in names] for heading, names in SHARED.items()}
    yield (
        "reference/shared.md",
        _page("What platforms share", "The bases of all platforms' classes: their arguments, too.", shared),
    )
    models = {
        "On every platform": [
            f"audience_onboarding.definitions.models.{name}"
            for name in _classes(package / "definitions" / "models.py")
        ]
    }
    for vendor, title in VENDORS.items():
        path = package / "platforms" / vendor / "definition.py"
        models[f"On {title}"] = [
            f"audience_onboarding.platforms.{vendor}.definition.{name}" for name in _classes(path)
        ]
    yield (
        "reference/definition-models.md",
        _page(
            "Models of definitions",
            "The pydantic models behind the YAML files. What the fields are for, with examples: "
            "[Definitions](../definitions.md).",
            models,
            # Of a field, name, type and default are worth showing, also where they say it all.
            options={"show_if_no_docstring": "true"},
        ),
    )
    names = _classes(package / "exceptions.py")
    yield (
        "reference/errors.md",
        _page(
            "Errors",
            "What each means for the person who sees it: [Troubleshooting](../troubleshooting.md).",
            {"All of them": [f"audience_onboarding.exceptions.{name}" for name in names]},
        ),
    )


def public_names(folder: Path, module: str) -> list[str]:
    """The public names of a vendor's module: those that its package exports, or all classes of triggers and links."""
    if module in {"triggers", "links"}:
        return _classes(folder / f"{module}.py")
    exported: dict[str, str] = {}
    for node in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_MODULES":
            exported = ast.literal_eval(node.value)
    return sorted(name for name, home in exported.items() if home == module)


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
