"""WhatsApp templates: what is sent fits what is registered, and what is registered is what Meta takes. Sheet W.2."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from dunning.cli.notices import notices
from dunning.domain.terms import Occasion
from dunning.notices import gallery, registry
from dunning.notices.texts import locales
from dunning.notices.whatsapp import request_body
from tests.notices.test_channels import REQUEST_SCHEMA

SUBMISSION_SCHEMA = {
    "type": "object",
    "required": ["name", "language", "category", "components"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9_]{1,512}$"},
        "language": {"enum": ["en", "id", "ar", "th"]},
        "category": {"const": "UTILITY"},
        "components": {"type": "array", "minItems": 1},
    },
}


def test_there_is_one_template_for_each_occasion_stage_and_locale_and_meta_refuses_none() -> None:
    names = {f"dunning_{one.value}" for one in Occasion} | {"dunning_failed_again", "dunning_failed_last"}
    names |= {"dunning_price_change_consent"}

    assert {(one.name, one.locale) for one in registry.registry()} == {(n, loc) for n in names for loc in locales()}
    assert registry.faults() == []


@pytest.mark.parametrize("locale", locales())
def test_every_request_is_what_the_sheets_schema_says(locale: str) -> None:
    for occasion, stage in gallery.SAMPLES:
        rendered = gallery.sample(occasion, locale, stage)
        body = request_body("+6281234567890", f"sub-1/1/1/1/{occasion.value}", rendered)

        jsonschema.Draft202012Validator(REQUEST_SCHEMA).validate(body)
        known = registry.parameters_of(rendered.template, rendered.template_language)
        assert known is not None
        assert len(known) == len(rendered.parameters)
        assert all("\n" not in one and "\t" not in one and "     " not in one for one in rendered.parameters)


def test_a_request_that_does_not_fit_its_template_is_not_made() -> None:
    rendered = gallery.sample(Occasion.FAILED, "en")

    for broken in (rendered.but(parameters=rendered.parameters[:-1]), rendered.but(template_language="fr")):
        with pytest.raises(ValueError, match="does not fit the registry"):
            request_body("+6281234567890", "k", broken)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": "Failed!"}, "small letters"),
        ({"language": "xx"}, "no templates in this language"),
        ({"body": "x" * 1025 + " {{1}} y", "parameters": ("name",)}, "at most 1024"),
        ({"body": "one\ttab {{1}} and words", "parameters": ("name",)}, "no tabs"),
        ({"body": "Hello {{2}} and some more words", "parameters": ("name",)}, "each of its 1 parameters"),
        ({"body": "Hi {{1}} {{2}} {{3}} a", "parameters": ("name", "amount", "next")}, "characters of its own"),
    ],
)
def test_what_meta_would_refuse_is_named_before_a_worker_starts(change: dict[str, object], rule: str) -> None:
    broken = registry.registry()[0].but(**change)

    (fault,) = registry.faults([broken])

    assert rule in fault
    assert broken.name in fault


def test_a_template_that_stands_there_twice_is_named() -> None:
    one = registry.registry()[0]

    assert registry.faults([one, one]) == [f"{one.name} ({one.language}): stands there twice"]


def test_the_submission_export_is_one_body_for_each_template(tmp_path: Path) -> None:
    done = CliRunner().invoke(notices, ["export-templates", str(tmp_path)])

    assert done.exit_code == 0, done.output
    files = sorted(tmp_path.rglob("*.json"))
    assert {file.parent.name for file in files} == set(locales())
    assert len(files) == len(registry.registry())
    for file in files:
        body = json.loads(file.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(SUBMISSION_SCHEMA).validate(body)
        (component,) = body["components"]
        assert component["type"] == "BODY"
        (examples,) = component["example"]["body_text"]
        assert len(examples) == component["text"].count("{{")
        assert not any("{" in one for one in examples)
