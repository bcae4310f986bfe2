"""The configuration that most tests run the proxy with, and how they change it."""

from tests.integration.toml import document


def settings(ports, pair, store_port, users_path, **changes):
    """Return a configuration with every kind of listener, users from a file, and stores that are reached in plain text.

    ``changes`` are merged into it, table by table.
    """
    starttls, implicit = ports.free(), ports.free()
    usual = {
        "hostname": "proxy.example.com",
        "workers": 1,
        "shutdown_grace": "5s",
        "listener": [
            {"service": "imap", "address": address, "port": port, "tls": tls}
            for address in ("127.0.0.1", "::1")
            for tls, port in (("starttls", starttls), ("implicit", implicit))
        ],
        "tls": {"certificate": str(pair.certificate), "private_key": str(pair.key)},
        "login": {"default_domain": "example.com"},
        "directory": {"kind": "file", "file": {"path": str(users_path)}},
        "backend": {"imap": {"port": store_port}},
        "admin": {"control": f"unix:{users_path.parent}/control.sock", "state": f"{users_path.parent}/state"},
        "log": {"level": "debug"},
        "limits": {"per_address": []},
        "throttle": {"penalty": "0s"},
    }
    return _merged(usual, changes)


def write_users(path, mail_hosts, passwords=None, groups=None):
    """Write a directory of users: each one's store, and of some the password as the directory keeps it, or a group."""
    users = {user: {"mailHost": host} for user, host in mail_hosts.items()}
    for user, kept in (passwords or {}).items():
        users[user]["password"] = kept
    for user, group in (groups or {}).items():
        users[user]["memberOf"] = group
    path.write_text(document({"users": users}))


def _merged(usual, changes):
    both = usual | changes
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(usual.get(key), dict):
            both[key] = _merged(usual[key], value)
    return both
