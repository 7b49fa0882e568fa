"""The description of the API, OpenAPI 3.1: what FastAPI cannot know is added here."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, create_model
from pydantic.json_schema import models_json_schema

from dunning.domain.fields import Identifier
from dunning.domain.terms import Subscription
from dunning.gateway.api import examples
from dunning.gateway.api.customers import OptOutsBody
from dunning.gateway.api.events import RedeliveryBody
from dunning.gateway.api.orders import RefundOrderBody
from dunning.gateway.api.previews import PreviewOptions
from dunning.gateway.api.problems import KINDS, MEDIA_TYPE, Problem
from dunning.gateway.api.steering import COMMANDS, body_model, needs_body

_REF = "#/components/schemas/"
REFUND_ORDER = "/v1/orders/{order_id}/refund"

NewSubscription: type[Subscription] = create_model(
    "NewSubscription",
    __base__=Subscription,
    __doc__="A subscription, as the backend gives it. `merchant_account` is the key's and may be left out.",
    merchant_account=(Identifier | None, None),
)
PreviewBody = create_model(
    "PreviewBody",
    __base__=PreviewOptions,
    __doc__="A subscription, and what happens.",
    subscription=(NewSubscription, ...),
)

_ALWAYS = ("unauthenticated", "too-many-requests", "internal", "unavailable")
_WITH_BODY = ("invalid-json", "too-large", "unsupported-media-type", "invalid-input")

_TEXT = """Collects recurring payments and recovers failed ones. Every request needs a key of one merchant account, and
sees that account alone. Amounts are integers in minor units of ISO 4217; instants are RFC 3339 with an offset, answers
in UTC. Everything that is wrong with an input is reported at once, and then nothing has changed."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole description."""
    described = get_openapi(
        title="dunning",
        version=version("dunning"),
        description=_TEXT,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    _add_bodies(described)
    for path, operations in described["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    _add_answers(described)
    for unused in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(unused, None)
    return described


TAGS = {
    "Subscriptions": "Create, read and list what is to be collected.",
    "Records": "What happened: attempts, notices to the customer, events for your backend.",
    "Customers": "What a customer wants to get, and where nothing arrives.",
    "Events": "What your endpoint receives, what it missed, and a trial.",
    "Commands": "Steer a subscription. Each is done once for its `command_id`.",
    "Orders": "What was bought once, where the provider sells it.",
    "Preview": "See the future without starting anything.",
    "Health": "For load balancers; without a key.",
}


def _tag(path: str) -> str:
    last = path.rpartition("/")[2]
    if not path.startswith("/v1/"):
        return "Health"
    if path.startswith("/v1/customers/"):
        return "Customers"
    if path.startswith("/v1/orders/"):
        return "Orders"
    if last in COMMANDS or "/commands/" in path:
        return "Commands"
    if path.startswith("/v1/event"):
        return "Events"
    if last in ("attempts", "notices", "events"):
        return "Records"
    return "Preview" if last == "previews" else "Subscriptions"


# --- bodies ----------------------------------------------------------------------------------------


def _add_bodies(described: dict[str, Any]) -> None:
    """Bodies are read by our own code, which reports every fault at once; so their schemas are added here."""
    models: dict[str, type[BaseModel]] = {
        "create": NewSubscription,
        "preview": PreviewBody,
        "opt-outs": OptOutsBody,
        "redeliver": RedeliveryBody,
        "refund order": RefundOrderBody,
        **{name: body_model(name) for name in COMMANDS},
    }
    _, whole = models_json_schema([(model, "validation") for model in models.values()], ref_template=_REF + "{model}")
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in whole["$defs"].items():
        schemas[name] = schema
    schemas["Schedule"]["anyOf"] = [{"required": ["anchor_at"]}, {"required": ["trial_ends_at"]}]
    schemas["Schedule"]["required"] = ["interval"]
    schemas["Problem"] = Problem.model_json_schema(ref_template=_REF + "{model}")
    schemas["Error"] = schemas["Problem"].pop("$defs")["Error"]
    paths = described["paths"]
    _body(paths["/v1/subscriptions"]["post"], NewSubscription.__name__, {"dodo": examples.SUBSCRIPTION})
    _body(paths["/v1/previews"]["post"], PreviewBody.__name__, {"declined once": examples.PREVIEW})
    opt_outs = paths["/v1/customers/{customer_id}/opt-outs"]["put"]
    _body(opt_outs, OptOutsBody.__name__, {"no receipts by e-mail": examples.OPT_OUTS})
    _body(paths["/v1/events/redeliver"]["post"], RedeliveryBody.__name__, {"given up": examples.REDELIVERY})
    refund = paths[REFUND_ORDER]["post"]
    _body(refund, RefundOrderBody.__name__, {"give it back": examples.REFUND_ORDER}, is_required=False)
    for name in COMMANDS:
        operation = paths[f"/v1/subscriptions/{{subscription_id}}/{name}"]["post"]
        _body(operation, models[name].__name__, {name: examples.COMMANDS[name]}, is_required=needs_body(name))


def _body(operation: dict[str, Any], schema: str, shown: dict[str, Any], *, is_required: bool = True) -> None:
    operation["requestBody"] = {
        "required": is_required,
        "content": {
            "application/json": {
                "schema": {"$ref": _REF + schema},
                "examples": {name: {"value": value} for name, value in shown.items()},
            }
        },
    }


# --- answers ---------------------------------------------------------------------------------------


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Tags, problems, and headers of one operation."""
    operation["tags"] = [_tag(path)]
    for parameter in operation.get("parameters", []):
        _simplify(parameter)
    responses = operation["responses"]
    responses.pop("422", None)
    if operation["tags"] == ["Health"]:
        return
    for kind in _kinds_of(path, operation):
        status, title, _ = KINDS[kind]
        text = f"{title}: `{kind}`"
        if str(status) in responses:
            responses[str(status)]["description"] += f"; {text[0].lower()}{text[1:]}"
            continue
        responses[str(status)] = {
            "description": text,
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF + "Problem"}}},
        }
    responses["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    for busy in ("429", "503"):
        responses[busy]["headers"] = {"Retry-After": {"schema": {"type": "string"}, "required": True}}
    for response in responses.values():
        headers = response.setdefault("headers", {})
        headers["X-Request-Id"] = {"schema": {"type": "string"}, "required": True}


def _simplify(parameter: dict[str, Any]) -> None:
    """A parameter that may be left out is never the word `null`; its example and its text stand beside the schema."""
    schema = parameter["schema"]
    inner = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    for one in inner:
        schema.update(one)
    schema.pop("description", None)
    found = schema.pop("examples", None)
    if found:
        parameter["example"] = found[0]


def _kinds_of(path: str, operation: dict[str, Any]) -> list[str]:
    kinds = list(_ALWAYS)
    if "requestBody" in operation:
        kinds += _WITH_BODY
    elif operation.get("parameters"):
        kinds.append("invalid-input")
    if any(name in path for name in ("{subscription_id}", "{customer_id}", "{event_id}")):
        kinds.append("not-found")
    last = path.rpartition("/")[2]
    if last in COMMANDS:
        kinds += ["refused", "conflict", "no-answer"]
    elif path == REFUND_ORDER or last == "portal_link":
        kinds.append("refused")
    elif path == "/v1/events/test":
        kinds.append("conflict")
    elif "requestBody" in operation and last == "subscriptions":
        kinds += ["conflict", "key-reused"]
    return kinds


def _add_answers(described: dict[str, Any]) -> None:
    """Answers with another status than the usual one, and examples."""
    paths = described["paths"]
    creation = paths["/v1/subscriptions"]["post"]["responses"]
    creation["201"]["description"] = "It is written down and started"
    _example(creation["201"], examples.CREATION)
    creation["201"]["headers"]["Location"] = {"schema": {"type": "string"}, "required": True}
    creation["200"] = {**creation["201"], "description": "It was there with the same terms: nothing has changed"}
    creation["200"]["content"] = {"application/json": {"schema": {"$ref": _REF + "CreatedView"}}}
    problem = creation["422"]["content"][MEDIA_TYPE]
    problem["example"] = examples.PROBLEM
    _example(paths["/v1/subscriptions/{subscription_id}"]["get"]["responses"]["200"], examples.shown_subscription())
    _example(paths["/v1/previews"]["post"]["responses"]["200"], examples.shown_preview())
    for name in COMMANDS:
        responses = paths[f"/v1/subscriptions/{{subscription_id}}/{name}"]["post"]["responses"]
        words = "Accepted: it waits for a charge on its way. Read its final result under `/commands/{id}`"
        _add_accepted(responses, words, examples.COMMANDS[name]["command_id"])
    words = "Accepted: the provider does not answer yet. Send it again with the same `command_id`"
    _add_accepted(paths[REFUND_ORDER]["post"]["responses"], words, examples.REFUND_ORDER["command_id"])


def _add_accepted(responses: dict[str, Any], words: str, command_id: str) -> None:
    """A command's answers: done, and accepted."""
    responses["200"]["description"] = "Done"
    content = {"application/json": {"schema": {"$ref": _REF + "ResultView"}}}
    responses["202"] = {**responses["200"], "description": words, "content": content}
    _example(responses["200"], {**examples.RESULT, "command_id": command_id})


def _example(response: dict[str, Any], value: Any) -> None:
    response["content"]["application/json"]["example"] = value
