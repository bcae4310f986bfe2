"""The entries of a directory with domains of both schemas, and look-ups there as a worker makes them."""

from attrs import frozen
from twisted.internet.defer import Deferred

from mmp.authenticators import Authenticators
from mmp.config.clients import Login
from mmp.config.directory import LDAP, Directory
from mmp.config.schema import Listener
from mmp.errors import Refused
from mmp.model import Client, Credentials, Endpoint, Refusal, Service, TLSMode
from mmp.observe.metrics import Counts
from tests import fakes
from tests.integration.slapd import BASE
from tests.net.turning import Turning

CLIENT = Client("s-1", Service.IMAP, Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 143))

ROOT = f"o=internet,{BASE}"
PASSWORD = "a user's secret"
USUAL_FILTER = "(|(uid=%U)(mail=%s))"

SUBJECT = "CN=pinned"
"""Of the one certificate that an entry tells of."""

USER_STATUSES = [
    (attribute, value)
    for attribute, values in (
        ("inetUserStatus", ("active", "inactive", "deleted", "nonsense")),
        ("mailUserStatus", ("active", "overquota", "hold", "defer", "defer-submit", "inactive", "disabled", "deleted")),
        ("mailUserStatus", ("removed", "nonsense")),
    )
    for value in values
]
DOMAIN_STATUSES = [(attribute.replace("User", "Domain"), value) for attribute, value in USER_STATUSES]


def uncertified(_tls, _security):
    """Take no certificate of any client for good."""
    return False


def entry(name, *lines):
    """Return an entry in LDIF."""
    return "\n".join((f"dn: {name}", *lines)) + "\n\n"


def unit(name):
    """Return an entry to have others below it."""
    return entry(f"ou={name},{BASE}", "objectClass: organizationalUnit", f"ou: {name}")


def person(uid, unit, *lines, host=None):
    """Return a user of a unit, whose store is called after the unit unless another line names it, or an empty none."""
    classes = tuple(f"objectClass: {name}" for name in ("account", "inetMailUser", "inetUser"))
    usual = (f"uid: {uid}", f"userPassword: {PASSWORD}", f"mailHost: {unit}.store" if host is None else host)
    return entry(f"uid={uid},ou={unit},{BASE}", *classes, *filter(None, usual), *lines)


def _tree_name(domain):
    return ",".join((*(f"dc={each}" for each in domain.split(".")), ROOT))


def dc(name, *lines, classes=("inetDomain", "mailDomain")):
    """Return a domain's entry in the tree of Schema 1; its parents have to stand before it."""
    label, _, _ = name.partition(".")
    classes = tuple(f"objectClass: {each}" for each in ("domain", *classes))
    return entry(_tree_name(name), *classes, f"dc: {label}", *lines)


def alias(name, of):
    """Return another name of a domain in the tree."""
    label, _, _ = name.partition(".")
    lines = (f"objectClass: {each}" for each in ("alias", "inetDomainAlias", "dcObject"))
    return entry(_tree_name(name), *lines, f"dc: {label}", f"aliasedObjectName: {_tree_name(of)}")


def organisation(name, *lines):
    """Return an organisation of Schema 2."""
    classes = tuple(
        f"objectClass: {each}" for each in ("organization", "sunManagedOrganization", "inetDomain", "mailDomain")
    )
    return entry(f"o={name},{BASE}", *classes, f"o: {name}", *lines)


def users_in(unit):
    """Return the line that says where the users of a domain are."""
    return f"inetDomainBaseDN: ou={unit},{BASE}"


def _status_domain(attribute, value):
    return f"{attribute}-{value}".lower()


def domain_with(attribute, value):
    """Return the domain of Schema 1 that has this status."""
    return f"{_status_domain(attribute, value)}.test"


def user_with(attribute, value):
    """Return the user who has this status."""
    return f"{attribute}-{value}".lower()


PEOPLE = "".join(
    (
        *(unit(name) for name in ("one", "two", "statuses", "rules")),
        person("alice", "one", "mail: alice@one.test"),
        person("alice", "two", "mail: alice@two.test", "host: second.store"),
        person("bob", "one", "mail: twin@one.test", "mailAlternateAddress: bobby@one.test"),
        person("carol", "one", "mail: twin@one.test"),
        person("eve", "one", host="mailHost:: ZXZpbApzdG9yZQ=="),
        person("homeless", "one", host="host: second.store"),
        person("lost", "one", host=""),
        person("pinned", "one", "description: 192.0.2.7", "description: 198.51.100.1", f"description: {SUBJECT}"),
        person("stored", "one", "mailMessageStore: elsewhere", "mailEquivalentAddress: same@one.test"),
        person("misplaced", "statuses", "inetUserStatus: disabled"),
        *(person(user_with(*status), "statuses", ": ".join(status)) for status in USER_STATUSES),
        person("both", "statuses", "inetUserStatus: inactive", "mailUserStatus: deleted"),
        person("closed", "statuses", "inetUserStatus: active", "mailUserStatus: deleted"),
    )
)
TREE = "".join(
    (
        entry(ROOT, "objectClass: organization", "o: internet"),
        *(dc(name, classes=()) for name in ("test", "other.test")),
        dc("one.test", users_in("one")),
        dc("two.test", users_in("two"), "inetDomainSearchFilter: mail=%s"),
        alias("alias.test", "one.test"),
        alias("hop.test", "alias.test"),
        alias("nowhere.test", "gone.test"),
        dc("empty.test"),
        dc("canonical.test", users_in("one"), "inetCanonicalDomainName: one.test"),
        dc("filtered.test", users_in("one"), "inetDomainSearchFilter: (&(uid=%U)(mail=twin@one.test))"),
        dc("misfiltered.test", users_in("one"), "inetDomainSearchFilter: (uid=%X)"),
        dc("baseless.test", f"inetDomainBaseDN: ou=gone,{BASE}"),
        dc("preferring.test", users_in("one"), "preferredMailHost: second.store", "domainUidSeparator: +"),
        dc("here.test", users_in("one"), "mailAccessProxyPreAuth: yes"),
        dc("there.test", users_in("one"), "mailAccessProxyPreAuth: no"),
        dc("perhaps.test", users_in("one"), "mailAccessProxyPreAuth: perhaps"),
        dc("replay.test", users_in("one"), "mailAccessProxyReplay: %[uid]+%A[mail]#%V"),
        dc("misreplay.test", users_in("one"), "mailAccessProxyReplay: %q"),
        dc("allowed.test", users_in("rules"), "mailDomainAllowedServiceAccess: +imap,imaps:*"),
        dc("denied.test", users_in("rules"), "mailDomainAllowedServiceAccess: -imap:*"),
        dc("garbled.test", users_in("rules"), "mailDomainAllowedServiceAccess: who knows"),
        dc("rules.test", users_in("rules")),
        dc("statuses.test", users_in("statuses")),
        dc("closed.test", users_in("statuses"), "inetDomainStatus: deleted", "mailDomainStatus: hold"),
        *(dc(domain_with(*status), users_in("one"), ": ".join(status)) for status in DOMAIN_STATUSES),
    )
)
ORGANISATIONS = "".join(
    (
        organisation("first", "sunPreferredDomain: first.test", "associatedDomain: first.alias.test", users_in("one")),
        organisation("second", "sunPreferredDomain: second.test", "associatedDomain: shared.test"),
        entry(
            f"uid=dave,o=second,{BASE}",
            *(f"objectClass: {name}" for name in ("account", "inetMailUser")),
            "uid: dave",
            "mailHost: second.store",
        ),
        organisation("third", "associatedDomain: shared.test", users_in("two")),
        organisation("fourth", "sunPreferredDomain: fourth.test", "inetCanonicalDomainName: one.test", users_in("one")),
        organisation("fifth", "associatedDomain: fifth.test", users_in("two")),
    )
)


def listener(server, tls=TLSMode.NONE, cache_size=0, cache_ttl=900.0, login=None, **ldap):
    """Return a listener whose users are in this server."""
    settings = LDAP(**{"urls": (server.url,), "base": BASE, "domain_root": ROOT, "filter": USUAL_FILTER} | ldap)
    directory = Directory(cache_size=cache_size, cache_ttl=cache_ttl, ldap=settings)
    return Listener(tls=tls, login=Login(**login or {}), directory=directory)


class Loopback:
    """A resolver without threads."""

    async def addresses(self, host):
        return ("127.0.0.1",)


@frozen
class Asking:
    """Look-ups on an event loop that the test turns."""

    turning: Turning
    server: object
    log: fakes.Log

    def parts(self):
        """Return what a worker makes authenticators of."""
        turning, counts = self.turning, Counts()
        return Authenticators({}, {}, turning.reactor, turning.loop, Loopback(), log=self.log, counts=counts)

    def locator(self, **options):
        """Return what a worker makes for a listener."""
        return self.parts().authenticator(listener(self.server, **options), uncertified)

    def begin(self, locator, user, secret=b"any", client=CLIENT):
        """Begin a look-up."""
        credentials = Credentials("PLAIN", user, secret)
        return Deferred.fromCoroutine(locator.locate(client, credentials, fakes.never_asked))

    def outcome(self, locator, user, **login):
        """Return the account, or why there is none."""
        return self._outcome(self.begin(locator, user, **login))

    def outcomes(self, locator, users):
        """Return the outcomes of look-ups that are made at the same time."""
        begun = [self.begin(locator, user) for user in users]
        return [self._outcome(one) for one in begun]

    def _outcome(self, begun):
        try:
            return self.turning.outcome(begun)
        except Refused as refused:
            return refused.refusal

    def told(self, user, schema="1", client=CLIENT, **options):
        """Return the store and what it is told, or why the user is refused."""
        found = self.outcome(self.locator(schema=schema, **options), user, client=client)
        return found if isinstance(found, Refusal) else (found.host, found.replay_user)
