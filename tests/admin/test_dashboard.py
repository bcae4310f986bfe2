"""The page for a browser, from what commands tell."""

import json

from twisted.internet.defer import Deferred

from mmp.admin.dashboard import Dashboard

STATUS = {
    "version": "1",
    "pid": 7,
    "started": "now",
    "sessions": 3,
    "draining": False,
    "workers": [{"pid": 8, "state": "serving", "sessions": 3}],
    "directory": {"up": False, "down": {"ldap://x": "<script>away</script>"}},
    "shared": {"up": True, "why": ""},
}
STORE = {"backend": "<b>store", "service": "imap", "up": False, "disabled": False, "sessions": 3, "why": "a & b"}


async def serve(request, user, send):
    """Be the commands."""
    assert user == -1
    if request["command"] == "backends":
        await send(json.dumps([STORE]).encode())
        return {}
    return STATUS


def reply(page):
    found = []
    Deferred.fromCoroutine(page()).addCallback(found.append)
    return found[0]


def test_what_comes_from_outside_is_text_and_no_markup():
    text = reply(Dashboard(serve).page).body.decode()
    assert "&lt;script&gt;away" in text
    assert "&lt;b&gt;store" in text
    assert "a &amp; b" in text
    assert text.count('class="bad">down') == 2


def test_programs_are_told_the_same_as_json():
    assert json.loads(reply(Dashboard(serve).status).body) == STATUS
    assert json.loads(reply(Dashboard(serve).backends).body) == [STORE]
