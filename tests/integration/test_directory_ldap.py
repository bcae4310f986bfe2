"""Look-ups in a real OpenLDAP server, over our own transport."""

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults

from mmp.directory.entry import AccountRules
from mmp.directory.ldap.directory import LDAPDirectory, Replicas
from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.replica import LDAPURL, Opening, Replica
from mmp.directory.ldap.requests import ANY_ENTRY, Search, Simple, read
from mmp.directory.locate import Locator
from mmp.directory.names import Naming
from mmp.directory.replay import ReplayName
from mmp.errors import Refused
from mmp.model import Account, Client, Credentials, Endpoint, Refusal, Service
from mmp.net.connect import Connector, TLSConnector
from mmp.net.tls import ClientTLS
from tests import fakes
from tests.integration.certificates import Certificates
from tests.integration.haproxy import haproxy, pem
from tests.integration.slapd import BASE, PROXY, slapd
from tests.net.turning import Turning

CLIENT = Client("s-1", Service.IMAP, Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 143))
USUAL = "(|(uid=%U)(mail=%s)(mailAlternateAddress=%s))"
SECRET = "proxy's secret"

PROXY_ENTRY = f"""\
dn: {PROXY}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: proxy
userPassword: {SECRET}

"""


def person(uid, *lines):
    """Return the LDIF of a user."""
    usual = (f"dn: uid={uid},{BASE}", "objectClass: account", "objectClass: inetMailUser", f"uid: {uid}")
    return "\n".join((*usual, *lines)) + "\n\n"


PEOPLE = (
    person("alice", "mail: Alice@Example.com", "mailAlternateAddress: al@example.com", "mailHost: store1.example.com")
    + person("bob", "mail: bob@example.com", "mailHost: store2.example.com", "host: other.example.com")
    + person("star\\2A", "mail: star@example.com", "mailHost: store1").replace("uid: star\\2A", "uid: star*")
    + person("twin1", "mail: twin@example.com", "mailHost: store1")
    + person("twin2", "mail: twin@example.com", "mailHost: store2")
    + person("homeless", "mail: homeless@example.com")
    + person("evil", "mail: evil@example.com", "mailHost:: c3RvcmUxDQpYQ0xJRU5U")
    + person("j\\C3\\B6rg", "mail: joerg@example.com", "mailHost: store1").replace("uid: j\\C3\\B6rg", "uid:: asO2cmc=")
    + "".join(person(f"user{number}", f"mailHost: store{number}") for number in range(200))
)


class Quiet:
    """A log that nobody reads."""

    def heeds(self, level):
        """Heed everything."""
        return True

    def event(self, name, level="info", /, **facts):
        """Let it pass."""

    def tell(self, name, level, facts, /):
        """Let it pass."""


class Loopback:
    """A resolver without threads."""

    async def addresses(self, host):
        return ("127.0.0.1",)


@frozen
class Asking:
    """Look-ups on an event loop that the test turns."""

    turning: Turning
    ca: bytes

    def locator(self, *urls, text=USUAL, rules=None, naming=None, **options):
        """Return a locator that asks these servers."""
        rules = rules or AccountRules()
        search = Search.prepare(BASE, FilterTemplate.parse(text), rules.attributes, 5.0)
        balance = options.pop("balance", False)
        replicas = Replicas([Replica(self._opening(url, **options), Quiet()) for url in urls], balance=balance)
        return Locator(LDAPDirectory(replicas, search), naming or Naming(default_domain="example.com"), rules)

    def _opening(self, url, timeout=5.0, ca=None, **options):
        parsed = LDAPURL.parse(url)
        tls = ClientTLS(ca=self.ca if ca is None else ca)
        connector = TLSConnector(Connector(self.turning.loop, Loopback()), tls, implicit=parsed.implicit_tls)
        return Opening(parsed, connector, self.turning.reactor, timeout, **options)

    def begin(self, locator, user):
        """Begin a look-up."""
        return Deferred.fromCoroutine(locator.locate(CLIENT, Credentials("PLAIN", user, b"any"), fakes.never_asked))

    def locate(self, locator, user):
        """Look a user up and return the account."""
        return self.turning.outcome(self.begin(locator, user))

    def refusal(self, locator, user):
        """Look a user up, who must be refused, and return why."""
        with pytest.raises(Refused) as refused:
            self.locate(locator, user)
        return refused.value.refusal, refused.value.reason


@pytest.fixture(scope="module")
def server(ports, certificates):
    """A server that everybody may read, with TLS for localhost and 127.0.0.1."""
    with slapd(ports, PROXY_ENTRY + PEOPLE, certificates) as running:
        yield running


@pytest.fixture
def own_server(ports):
    """A server for one test, to be stopped and frozen."""
    with slapd(ports, PEOPLE) as running:
        yield running


@pytest.fixture
def asking(certificates):
    turning = Turning()
    yield Asking(turning, certificates.ca.read_bytes())
    turning.close()


@pytest.mark.parametrize(
    "user", ["alice", "alice@example.com", "ALICE@example.com", "al@example.com", "alice@else.where"]
)
def test_a_user_is_found_by_every_name_and_is_always_the_same(asking, server, user):
    account = asking.locate(asking.locator(server.url), user)
    assert (account.user, account.host) == ("alice@example.com", "store1.example.com")


def test_a_user_with_letters_beyond_ascii_is_found(asking, server):
    assert asking.locate(asking.locator(server.url), "j\u00f6rg").user == "joerg@example.com"


def test_an_unknown_user_is_told_as_that(asking, server):
    assert asking.refusal(asking.locator(server.url), "nobody") == (Refusal.BAD_CREDENTIALS, "unknown user")


def test_several_entries_are_no_user(asking, server):
    assert asking.refusal(asking.locator(server.url), "twin") == (Refusal.BAD_CREDENTIALS, "several entries match")


@pytest.mark.parametrize(
    "user",
    [
        "*",
        "al*",
        "a*e@example.com",
        "*)(uid=*",
        "alice)(uid=*",
        "*))(|(uid=*",
        "(",
        ")",
        "\\",
        "\\2a",
        "al\\69ce",
        "%U",
    ],
)
def test_the_signs_of_filters_in_a_name_find_nobody(asking, server, user):
    locator = asking.locator(server.url, naming=Naming(), text="(uid=%U)")
    assert asking.refusal(locator, user) == (Refusal.BAD_CREDENTIALS, "unknown user")
    assert asking.locate(locator, "alice").host == "store1.example.com"


def test_a_user_whose_name_has_such_a_sign_is_found_by_it(asking, server):
    locator = asking.locator(server.url, text="(uid=%U)")
    assert asking.locate(locator, "star*").user == "star@example.com"


@pytest.mark.parametrize("value", ["*)(uid=*", "ali\0ce", "\0", "*" * 65536, "a" * 65536])
def test_values_that_no_login_name_can_have_are_as_harmless(asking, server, value):
    template = FilterTemplate.parse("(uid=%U)")
    names = Naming().names(CLIENT, "alice")
    directory = asking.locator(server.url).directory
    search = Search.prepare(BASE, FilterTemplate(lambda _: (value,), template.root), ["mailHost"], 5.0)
    answer = asking.turning.outcome(Deferred.fromCoroutine(directory._replicas.search(search.operation(names))))
    assert (answer.result.code, answer.entries) == (0, [])


def test_the_first_attribute_that_is_there_names_the_store(asking, server):
    rules = AccountRules(("host", "mailHost"))
    locator = asking.locator(server.url, rules=rules)
    assert asking.locate(locator, "bob").host == "other.example.com"
    assert asking.locate(locator, "alice").host == "store1.example.com"


def test_a_user_without_a_store_or_with_an_impossible_one_is_refused_for_now(asking, server):
    locator = asking.locator(server.url)
    assert asking.refusal(locator, "homeless") == (Refusal.BACKEND_UNAVAILABLE, "no mailHost")
    refusal, reason = asking.refusal(locator, "evil")
    assert refusal is Refusal.BACKEND_UNAVAILABLE
    assert reason.isprintable()


def test_the_store_may_be_told_an_attribute(asking, server):
    rules = AccountRules(replay_user=ReplayName.parse("%A[uid]"))
    account = asking.locate(asking.locator(server.url, rules=rules), "al@example.com")
    assert account == Account("alice@example.com", "alice", "store1.example.com")


def test_only_the_attributes_that_are_read_are_asked_for(asking, server):
    directory = asking.locator(server.url).directory
    names = Naming().names(CLIENT, "bob")
    (entry,) = asking.turning.outcome(Deferred.fromCoroutine(directory.find(names)))
    assert set(entry.attributes) == {"uid", "mail", "mailhost"}


def test_two_hundred_look_ups_at_once_share_a_connection(asking, server):
    locator = asking.locator(server.url)
    begun = gatherResults([asking.begin(locator, f"user{number}") for number in range(200)])
    accounts = asking.turning.outcome(begun)
    assert [account.host for account in accounts] == [f"store{number}" for number in range(200)]
    assert len(asking.turning.reactor.getReaders()) <= 2  # the connection, and the reactor's own waker


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_name_and_password_open_what_others_may_not_read(asking, ports, certificates, start_tls):
    with slapd(ports, PROXY_ENTRY + PEOPLE, certificates, others="none") as closed:
        known = asking.locator(closed.url, start_tls=start_tls, credentials=Simple(PROXY, SECRET.encode()))
        assert asking.locate(known, "alice").host == "store1.example.com"
        refusal, reason = asking.refusal(asking.locator(closed.url), "alice")
        assert (refusal, reason) == (Refusal.DIRECTORY_UNAVAILABLE, "search failed: noSuchObject")


def test_a_wrong_password_of_ours_is_the_directorys_fault_and_not_shown(asking, server):
    locator = asking.locator(server.url, credentials=Simple(PROXY, b"wrong secret"))
    refusal, reason = asking.refusal(locator, "alice")
    assert refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert reason == f"{server.url}: bind as {PROXY} refused: invalidCredentials"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_from_the_beginning_and_started_later_are_verified_by_name_or_address(asking, server, host):
    implicit = asking.locator(f"ldaps://{host}:{server.tls_port}")
    assert asking.locate(implicit, "alice").host == "store1.example.com"
    started = asking.locator(f"ldap://{host}:{server.port}", start_tls=True)
    assert asking.locate(started, "alice").host == "store1.example.com"


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_certificate_for_another_name_is_refused_before_the_password_is_sent(asking, server, start_tls):
    url = f"ldap://ldap.example.com:{server.port}" if start_tls else f"ldaps://ldap.example.com:{server.tls_port}"
    # A password that the server would refuse: were it sent, the reason would be another.
    locator = asking.locator(url, start_tls=start_tls, credentials=Simple(PROXY, b"wrong secret"))
    refusal, reason = asking.refusal(locator, "alice")
    assert refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert reason == f"{url}: the certificate is not for ldap.example.com"


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_certificate_of_an_unknown_authority_is_refused_before_the_password_is_sent(
    asking, server, tmp_path, start_tls
):
    other = Certificates.make(tmp_path).ca.read_bytes()
    url = server.url if start_tls else server.tls_url
    locator = asking.locator(url, start_tls=start_tls, ca=other, credentials=Simple(PROXY, b"wrong secret"))
    refusal, reason = asking.refusal(locator, "alice")
    assert refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert "self-signed certificate in certificate chain" in reason


@pytest.fixture
def shaken(monkeypatch):
    """What came of each handshake with a server."""
    outcomes, start = [], ClientTLS.start

    async def noting(self, stream, host):
        outcomes.append(await start(self, stream, host))
        return outcomes[-1]

    monkeypatch.setattr(ClientTLS, "start", noting)
    return outcomes


def links(asking, url, count, **options):
    """Make links one after the other, each of which is used once; return what each has found."""
    opening, found = asking._opening(url, **options), []
    for _ in range(count):
        link = asking.turning.outcome(opening.link())
        found.append(asking.turning.outcome(link.search(read(PROXY, ANY_ENTRY, ["cn"], 5.0))).entries[0].name)
        link.close()
    return found


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def in_front(request, server, ports, certificates, tmp_path):
    """A version of TLS, and the URL of what ends it in front of the server: Debian's slapd itself resumes nothing."""
    file, port = pem(certificates.issue("127.0.0.1"), tmp_path), ports.free()
    bind = f"ssl crt {file} ssl-min-ver {request.param} ssl-max-ver {request.param}"
    with haproxy({"port": port, "behind": server.port, "bind": bind, "server": ""}):
        yield request.param, f"ldaps://127.0.0.1:{port}"


def test_a_second_link_resumes_the_session_of_the_first(asking, in_front, shaken):
    version, url = in_front
    assert links(asking, url, 3) == [PROXY] * 3
    assert [(each.version, each.resumed) for each in shaken] == [(version, False), (version, True), (version, True)]


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_second_link_to_slapd_itself_shakes_hands_as_the_first(asking, server, shaken, start_tls):
    url = server.url if start_tls else server.tls_url
    assert links(asking, url, 3, start_tls=start_tls) == [PROXY] * 3
    assert len(shaken) == 3
    assert all(each.encrypted for each in shaken)


def test_a_server_without_tls_is_not_spoken_to_in_clear(asking, own_server):
    locator = asking.locator(own_server.url, start_tls=True, credentials=Simple(PROXY, b"wrong secret"))
    refusal, reason = asking.refusal(locator, "alice")
    assert refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert reason.startswith(f"{own_server.url}: StartTLS refused: ")


def test_tls_toward_a_port_in_clear_fails_in_its_time(asking, server):
    locator = asking.locator(f"ldaps://127.0.0.1:{server.port}", timeout=1.0)
    assert asking.refusal(locator, "alice")[0] is Refusal.DIRECTORY_UNAVAILABLE


def test_clear_toward_a_port_of_tls_fails_in_its_time(asking, server):
    locator = asking.locator(f"ldap://127.0.0.1:{server.tls_port}", timeout=1.0)
    assert asking.refusal(locator, "alice")[0] is Refusal.DIRECTORY_UNAVAILABLE


def test_a_server_that_was_restarted_is_connected_to_again(asking, own_server):
    locator = asking.locator(own_server.url)
    asking.locate(locator, "alice")
    own_server.stop()
    own_server.start()
    assert asking.locate(locator, "bob").host == "store2.example.com"


def test_while_the_only_server_is_away_look_ups_are_refused_and_afterwards_answered(asking, own_server):
    locator = asking.locator(own_server.url)
    asking.locate(locator, "alice")
    own_server.stop()
    for _ in range(3):
        assert asking.refusal(locator, "alice")[0] is Refusal.DIRECTORY_UNAVAILABLE
    own_server.start()

    def back():
        try:
            return asking.locate(locator, "alice")
        except Refused:
            return None

    asking.turning.until(back)


def test_the_second_url_is_used_while_the_first_is_down_and_the_first_when_it_is_back(asking, server, own_server):
    locator = asking.locator(own_server.url, server.url)
    assert asking.locate(locator, "alice").host == "store1.example.com"
    own_server.stop()
    assert asking.locate(locator, "alice").host == "store1.example.com"
    own_server.start()
    first, _ = locator.directory._replicas._replicas
    asking.turning.until(lambda: asking.locate(locator, "alice") and first.link)
    assert asking.locate(locator, "bob").host == "store2.example.com"


def test_balanced_look_ups_use_every_server(asking, server, own_server):
    locator = asking.locator(own_server.url, server.url, balance=True)
    for _ in range(4):
        asking.locate(locator, "alice")
    assert all(replica.link for replica in locator.directory._replicas._replicas)


def test_a_frozen_server_costs_its_time_and_blocks_nothing(asking, own_server):
    locator = asking.locator(own_server.url, timeout=1.0)
    asking.locate(locator, "alice")
    own_server.freeze()
    ticks = []

    def tick():
        ticks.append(asking.turning.reactor.callLater(0.05, tick))

    tick()
    refused = [asking.begin(locator, f"user{number}") for number in range(50)]
    assert asking.refusal(locator, "alice")[0] is Refusal.DIRECTORY_UNAVAILABLE
    for look_up in refused:
        with pytest.raises(Refused, match="DIRECTORY_UNAVAILABLE"):
            asking.turning.outcome(look_up)
    assert len(ticks) > 10  # of the forty that two seconds have: the loop went on turning
    ticks[-1].cancel()
    own_server.thaw()


def test_a_frozen_first_server_is_left_for_the_second(asking, server, own_server):
    locator = asking.locator(own_server.url, server.url, timeout=1.0)
    asking.locate(locator, "alice")
    own_server.freeze()
    assert asking.locate(locator, "bob").host == "store2.example.com"
    own_server.thaw()
