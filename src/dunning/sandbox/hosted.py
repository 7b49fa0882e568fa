"""Hosted pages: what a customer sees behind a link. Plain forms, usable by a browser and by a test."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dunning.sandbox.book import Link, Subscription
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.state import Sandbox

router = APIRouter()
_TITLES = {
    "mandate": "Authorise future payments",
    "update_method": "Give a new payment method",
    "payment": "Pay once",
}
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#1b1b1b}
button{font:inherit;padding:.6rem 1.2rem;margin:.2rem .4rem .2rem 0;border:1px solid #777;border-radius:.4rem}
button.main{background:#14532d;color:#fff;border-color:#14532d}dt{color:#555}small{color:#555}
"""


@router.get("/pay/{link_id}", response_class=HTMLResponse)
async def show(sandbox: Here, link_id: str) -> HTMLResponse:
    """What the customer sees behind a link."""
    return _page(_TITLES[_found(sandbox, link_id).kind], _form(_found(sandbox, link_id)))


@router.post("/pay/{link_id}", response_class=HTMLResponse)
async def complete(sandbox: Here, link_id: str, request: Request) -> HTMLResponse:
    """What the customer answered."""
    link = _found(sandbox, link_id)
    answer = parse_qs((await request.body()).decode()).get("answer", ["approve"])[0]
    try:
        sandbox.mandates.complete(link, approves=answer != "decline")
    except ApiError as error:
        return _page("This link cannot be used", f"<p>{escape(error.message)}</p>", error.status)
    return _page("Thank you" if answer != "decline" else "Declined", _way_back(link))


@router.get("/portal/{customer_id}", response_class=HTMLResponse)
async def portal(sandbox: Here, customer_id: str) -> HTMLResponse:
    """The customer's own page."""
    customer = sandbox.book.customers.get(customer_id)
    if customer is None:
        raise ApiError("NOT_FOUND", f"There is no customer {customer_id}.")
    mine = [one for one in sandbox.book.subscriptions.values() if one.customer is customer]
    return _page(f"Subscriptions of {customer.name}", "".join(_portal_entry(one) for one in mine))


@router.post("/portal/{customer_id}/{subscription_id}", response_class=HTMLResponse)
async def act(sandbox: Here, customer_id: str, subscription_id: str, request: Request) -> HTMLResponse:
    """A button on the customer's own page."""
    subscription = sandbox.book.subscriptions.get(subscription_id)
    if subscription is None or subscription.customer.customer_id != customer_id:
        raise ApiError("NOT_FOUND", f"There is no subscription {subscription_id}.")
    action = parse_qs((await request.body()).decode()).get("action", [""])[0]
    if action == "pay":
        for owed in list(subscription.owed.values()):
            sandbox.bank.pay_by_link(subscription, owed.amount, owed.currency, None)
        return _page("Thank you", "<p>What was owed is paid.</p>")
    link = sandbox.mandates.open_update(subscription, None)
    return _page(_TITLES[link.kind], _form(link))


def _found(sandbox: Sandbox, link_id: str) -> Link:
    link = sandbox.book.links.get(link_id)
    if link is None:
        raise ApiError("NOT_FOUND", f"There is no page {link_id}.")
    return link


def _form(link: Link) -> str:
    if link.is_used:
        return "<p>This link was used already.</p>"
    facts = [("Customer", link.customer.name)]
    if link.subscription is not None:
        facts.append(("Subscription", link.subscription.reference or link.subscription.subscription_id))
    if link.kind == "payment":
        facts.append(("Amount", f"{link.amount} {link.currency}, minor units"))
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f"<dl>{rows}</dl><form method='post' action='/pay/{link.link_id}'>"
        "<button class='main' name='answer' value='approve'>Approve</button>"
        "<button name='answer' value='decline'>Decline</button></form>"
    )


def _portal_entry(subscription: Subscription) -> str:
    owed = ", ".join(f"{one.amount} {one.currency}" for one in subscription.owed.values()) or "nothing"
    action = escape(f"/portal/{quote(subscription.customer.customer_id)}/{quote(subscription.subscription_id)}")
    return (
        f"<h2>{escape(subscription.reference or subscription.subscription_id)}</h2>"
        f"<p>{escape(subscription.status)}; owed in minor units: {owed}</p>"
        f"<form method='post' action='{action}'>"
        "<button class='main' name='action' value='update'>New payment method</button>"
        "<button name='action' value='pay'>Pay what is owed</button></form>"
    )


def _way_back(link: Link) -> str:
    if link.return_url is None:
        return "<p>You may close this page.</p>"
    parts = urlsplit(link.return_url)
    if parts.scheme not in ("http", "https"):
        return "<p>You may close this page.</p>"
    values = {"status": link.subscription.status} if link.subscription else {}
    if link.subscription is not None:
        values["subscription_id"] = link.subscription.subscription_id
    query = "&".join(part for part in (parts.query, urlencode(values)) if part)
    return f"<p><a href='{escape(urlunsplit(parts._replace(query=query)))}'>Back to the shop</a></p>"


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    html = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{body}<p><small>Sandbox: no money moves here.</small></p></html>"
    )
    return HTMLResponse(html, status_code=status)
