"""Telling customers: WhatsApp templates and e-mail, from templates and locales. SPEC 11."""
