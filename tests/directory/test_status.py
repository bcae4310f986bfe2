import pytest

from mmp.directory.entry import Entry
from mmp.directory.status import check_status
from mmp.errors import Refused
from mmp.model import Refusal

TEMPORARY, PERMANENT = Refusal.ACCOUNT_ON_HOLD, Refusal.ACCOUNT_DISABLED
ORDER = ("inetDomainStatus", "mailDomainStatus", "inetUserStatus", "mailUserStatus")


def outcome(**statuses):
    """Return why users with these statuses are refused, None if they are not."""
    attributes = {name.lower(): (value,) for name, value in statuses.items()}
    entry = Entry("entry", attributes)
    try:
        check_status(entry, entry)
    except Refused as refused:
        return refused.refusal, refused.reason
    return None


@pytest.mark.parametrize("attribute", ORDER)
@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("active", None),
        ("Active", None),
        ("inactive", TEMPORARY),
        ("deleted", PERMANENT),
        ("DELETED", PERMANENT),
        ("nonsense", TEMPORARY),
    ],
)
def test_every_status_has_these_values(attribute, value, refusal):
    found = outcome(**{attribute: value})
    assert (found and found[0]) is refusal


@pytest.mark.parametrize("attribute", ["mailDomainStatus", "mailUserStatus"])
@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("overquota", None),
        ("hold", TEMPORARY),
        ("defer", TEMPORARY),
        ("defer-submit", TEMPORARY),
        ("disabled", PERMANENT),
        ("removed", PERMANENT),
    ],
)
def test_the_status_of_mail_has_more_values(attribute, value, refusal):
    found = outcome(**{attribute: value})
    assert (found and found[0]) is refusal


@pytest.mark.parametrize("attribute", ["inetDomainStatus", "inetUserStatus"])
@pytest.mark.parametrize("value", ["overquota", "hold", "disabled", "removed"])
def test_elsewhere_those_are_unknown_and_so_inactive(attribute, value):
    assert outcome(**{attribute: value}) == (TEMPORARY, f"{attribute[4:-6].lower()}'s {attribute} is {value!r}")


def test_without_any_status_users_are_active():
    assert outcome() is None


@pytest.mark.parametrize("first", range(4))
def test_the_first_status_that_is_a_hindrance_decides(first):
    statuses = dict.fromkeys(ORDER[:first], "active") | {ORDER[first]: "deleted"}
    statuses |= dict.fromkeys(ORDER[first + 1 :], "inactive")
    refusal, reason = outcome(**statuses)
    assert (refusal, ORDER[first] in reason) == (PERMANENT, True)


def test_a_domain_over_quota_hides_no_user_who_was_closed():
    assert outcome(mailDomainStatus="overquota", mailUserStatus="disabled")[0] is PERMANENT


def test_users_without_a_domains_entry_are_judged_by_their_own():
    with pytest.raises(Refused, match="mailUserStatus"):
        check_status(None, Entry("entry", {"mailuserstatus": ("hold",)}))
