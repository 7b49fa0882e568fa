"""WhatsApp's send contract: validated by code, never merged, statuses signed. Sheet W.2 to W.4."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from .conftest import Receiver, Shop

pytestmark = pytest.mark.server

URL = "/v23.0/106540352242922/messages"
TOKEN = {"authorization": "Bearer EAAG-token"}


def message(**changes: Any) -> dict[str, Any]:
    body = [
        {"type": "text", "text": "Alex"},
        {"type": "currency", "currency": {"fallback_value": "$25.00", "code": "USD", "amount_1000": 25000}},
    ]
    button = {
        "type": "button",
        "sub_type": "url",
        "index": "0",
        "parameters": [{"type": "text", "text": "upd/1"}],
    }
    template = {
        "name": "payment_failed",
        "language": {"policy": "deterministic", "code": "en_US"},
        "components": [{"type": "body", "parameters": body}, button],
    }
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+6281234567890",
        "type": "template",
        "template": template,
        "biz_opaque_callback_data": "notice:1",
        **changes,
    }


def with_template(**changes: Any) -> dict[str, Any]:
    return message(template={**message()["template"], **changes})


async def send(shop: Shop, body: dict[str, Any]) -> httpx.Response:
    return await shop.client.post(URL, json=body, headers=TOKEN)


async def sent(shop: Shop, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await shop.client.get("/_sandbox/messages", params=query)).json()["messages"]
    return rows


async def test_a_message_is_accepted_and_can_be_read_back(shop: Shop) -> None:
    answer = await send(shop, message())
    body = answer.json()
    assert answer.status_code == 200
    assert body["contacts"] == [{"input": "+6281234567890", "wa_id": "6281234567890"}]
    (accepted,) = body["messages"]
    assert accepted["id"].startswith("wamid.")
    (row,) = await sent(shop, to="+62 812 3456 7890")
    assert (row["wamid"], row["template"], row["language"]) == (accepted["id"], "payment_failed", "en_US")
    assert row["parameters"] == ["Alex", "$25.00", "upd/1"]
    assert row["biz_opaque_callback_data"] == "notice:1"
    assert await sent(shop, to="+1555") == []


async def test_a_repeated_message_is_sent_twice(shop: Shop) -> None:
    first, second = (await send(shop, message())).json(), (await send(shop, message())).json()
    assert first["messages"][0]["id"] != second["messages"][0]["id"]
    assert [row["biz_opaque_callback_data"] for row in await sent(shop)] == ["notice:1", "notice:1"]


def _body(parameters: list[Any]) -> dict[str, Any]:
    return with_template(components=[{"type": "body", "parameters": parameters}])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (message(messaging_product="sms"), 100),
        (message(recipient_type="crowd"), 131009),
        (message(to=None), 131008),
        (message(to="Alex"), 131009),
        (message(to="123"), 131009),
        (message(type="text", text={"body": "hello"}), 131047),
        (message(type="sticker"), 131051),
        (message(template=None), 131008),
        (with_template(name=""), 131008),
        (with_template(language={}), 131008),
        (with_template(language={"code": "english"}), 131009),
        (with_template(language={"code": "en", "policy": "fallback"}), 131009),
        (with_template(components=[{"type": "footer"}]), 131009),
        (with_template(components=["body"]), 131009),
        (with_template(components=[{"type": "button", "sub_type": "url"}]), 131009),
        (with_template(components=[{"type": "button", "sub_type": "dance", "index": "0"}]), 131009),
        (_body([{"type": "image", "image": {}}]), 132012),
        (_body([{"type": "text"}]), 131008),
        (_body([{"type": "text", "text": "two\nlines"}]), 132012),
        (_body([{"type": "currency", "currency": {"code": "USD"}}]), 131008),
        (_body([{"type": "date_time", "date_time": {}}]), 131008),
        (message(biz_opaque_callback_data=7), 131009),
    ],
)
async def test_a_bad_message_is_refused_by_code_and_not_sent(shop: Shop, body: dict[str, Any], code: int) -> None:
    answer = await send(shop, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, code)
    assert error["error_data"]["messaging_product"] == "whatsapp"
    assert error["fbtrace_id"]
    assert await sent(shop) == []


async def test_a_message_without_a_token_is_refused(shop: Shop) -> None:
    async with httpx.AsyncClient(base_url=shop.sandbox.url) as stranger:
        answer = await stranger.post(URL, json=message())
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, 190)


@pytest.mark.parametrize("path", ["/23.0/1/messages", "/v23/1/messages"])
async def test_a_version_is_v_and_two_numbers(shop: Shop, path: str) -> None:
    answer = await shop.client.post(path, json=message(), headers=TOKEN)
    assert answer.json()["error"]["code"] == 100
    assert await sent(shop) == []


async def test_known_templates_are_held_to_their_language_and_parameter_count(shop: Shop) -> None:
    await shop.control("whatsapp", templates={"payment_failed": {"en_US": 2}})
    codes = [
        (await send(shop, body)).json().get("error", {}).get("code")
        for body in (
            message(),
            with_template(language={"code": "id"}),
            with_template(name="unknown"),
            _body([{"type": "text", "text": "one"}]),
        )
    ]
    assert codes == [None, 132001, 132001, 132000]


async def test_a_recipient_can_be_unreachable_at_once_or_later(shop: Shop, receiver: Receiver) -> None:
    await shop.control("configure", whatsapp_webhook_url=receiver.url)
    await shop.control(
        "whatsapp",
        recipients={"+6281": 131026, "6281234567890": 131026},
        late_errors={"+15550001111": 131049},
    )
    assert (await send(shop, message())).json()["error"]["code"] == 131026
    assert (await send(shop, message(to="15550001111"))).status_code == 200
    await shop.quiet()
    (request,) = receiver.requests
    (status,) = json.loads(request.body)["entry"][0]["changes"][0]["value"]["statuses"]
    assert (status["status"], status["errors"][0]["code"]) == ("failed", 131049)
    assert [row["statuses"] for row in await sent(shop)] == [["failed"]]


async def test_statuses_follow_in_order_signed_over_the_bytes_sent(shop: Shop, receiver: Receiver) -> None:
    await shop.control(
        "configure",
        whatsapp_webhook_url=receiver.url,
        whatsapp_app_secret="app-secret-for-tests",
        whatsapp_statuses=["sent", "delivered", "read"],
    )
    wamid = (await send(shop, message(biz_opaque_callback_data="notice:é"))).json()["messages"][0]["id"]
    await shop.quiet()
    statuses = []
    for request in receiver.requests:
        signature = hmac.new(b"app-secret-for-tests", request.body, hashlib.sha256).hexdigest()
        assert request.headers["x-hub-signature-256"] == f"sha256={signature}"
        assert b"\\u00e9" in request.body, "beyond ASCII everything is escaped, as Meta signs it"
        value = json.loads(request.body)["entry"][0]["changes"][0]["value"]
        assert value["metadata"]["phone_number_id"] == "106540352242922"
        statuses += value["statuses"]
    assert [one["status"] for one in statuses] == ["sent", "delivered", "read"]
    assert {one["id"] for one in statuses} == {wamid}
    assert {one["biz_opaque_callback_data"] for one in statuses} == {"notice:é"}
    assert statuses[0]["timestamp"].isdigit()


@pytest.mark.parametrize(("kind", "status", "code"), [("429", 429, 130429), ("401", 401, 190), ("http_500", 500, 2)])
async def test_faults_speak_whatsapp_s_form_here(shop: Shop, kind: str, status: int, code: int) -> None:
    await shop.faults({"on": "whatsapp", "kind": kind})
    answer = await send(shop, message())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert await sent(shop) == []


async def test_a_connection_dropped_after_acceptance_leaves_the_message_sent(shop: Shop) -> None:
    await shop.faults({"on": "whatsapp", "kind": "drop_after_commit"})
    with pytest.raises(httpx.TransportError):
        await send(shop, message())
    assert len(await sent(shop)) == 1
