"""The documentation page: drawn from the description, complete in itself, without scripts and outside addresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dunning.gateway.api.problems import KINDS

CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The browser is told too: nothing is loaded from anywhere."""


def page(described: dict[str, Any]) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = type_words
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    sections = [(tag, _operations(described, tag["name"])) for tag in described["tags"]]
    return environment.get_template("docs.html").render(
        info=described["info"],
        sections=sections,
        schemas=sorted(described["components"]["schemas"].items()),
        problems=[(kind, *known) for kind, known in KINDS.items()],
    )


def _operations(described: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    found = []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if operation["tags"] == [tag]:
                found.append({**operation, "path": path, "method": method.upper(), **_parts(operation)})
    return found


def _parts(operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    shown = [
        (status, content["example"])
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        if "example" in content
    ]
    return {
        "parameters": operation.get("parameters", []),
        "body": body,
        "body_examples": [(n, e["value"]) for n, e in (body or {}).get("examples", {}).items()],
        "answers": sorted(operation["responses"].items()),
        "answer_examples": shown,
    }


def type_words(schema: dict[str, Any]) -> str:
    """A schema in a few words: `integer, 1 to 365`; names of other schemas stand as they are."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for together in ("anyOf", "oneOf"):
        if together in schema and all(isinstance(one, dict) and "required" not in one for one in schema[together]):
            return " or ".join(type_words(one) for one in schema[together])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_words(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_words(schema['additionalProperties'])}"
    return ", ".join([str(schema.get("format") or schema.get("type") or "anything"), *_bounds(schema)])


def _bounds(schema: dict[str, Any]) -> list[str]:
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "maxLength": "at most {} characters",
        "pattern": "{}",
    }
    return [text.format(schema[name]) for name, text in words.items() if name in schema]
