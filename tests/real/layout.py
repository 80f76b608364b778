"""Who and what is in the bed: accounts, proxies, sites. Read by the bed, the origin and the tests."""
from dataclasses import dataclass
from pathlib import Path

RUN = Path("/run/bed")
CA = RUN / "ca"

ADMIN_PASSWORD = "Admin-Pw-000"
SPN = "HTTP/proxy.corp.test"

ACCOUNTS = {
    "alice": "Alice-Pw-1",
    "carol": "Carol-Pw-2",
    "bob": "Grüße-Pässwörd-1",                 # Latin-1
    "dave": "Пароль-密码-9a",                   # beyond Latin-1
    "eve": "p:a@s%41 \"q\"'\\d#&1A",
    "lena": "long-" + "0123456789" * 19 + "-pass",   # 200 characters
    # Each is spoilt by one test only, so that tests may run side by side.
    **{name: f"Right-Pw-{name}" for name in (
        "wrong-ntlm", "wrong-ntlmclose", "wrong-wrap", "wrong-wraponly", "wrong-combo", "wrong-two", "wrong-basic", "wrong-kdc", "wrong-newcomer", "wrong-windows",
        "lock-ntlm", "lock-combo", "lock-basic", "lock-kdc", "lock-five", "lock-claude", "lock-changed", "lock-burst", "lock-outage",
        "lock-retry", "lock-locked", "lock-run", "replicas-load", "replicas-changed", "replicas-rollout", "replicas-keytab", "doctor-ntlm", "doctor-combo", "doctor-locked")},
}
WITH_KEYTAB = ["alice"]


@dataclass
class Squid:
    """One Squid. `auth` names parts of squid_conf in the order in which the proxy offers them."""
    name: str
    port: int
    auth: tuple
    tls: bool = False
    children: int = 60

    @property
    def log(self):
        return RUN / "log" / f"{self.name}.access.log"

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://proxy.corp.test:{self.port}"


SQUIDS = {squid.name: squid for squid in (
    Squid("none", 3120, ()),
    Squid("basic", 3121, ("basic",)),
    Squid("digest", 3122, ("digest",)),
    Squid("ntlm", 3123, ("ntlm",)),
    Squid("negotiate", 3124, ("kerberos",)),
    Squid("combo", 3125, ("kerberos", "ntlm", "basic")),
    Squid("wrap", 3126, ("wrapper", "ntlm")),
    Squid("digeststale", 3127, ("digest", "stale")),
    Squid("wraponly", 3129, ("wrapper",)),
    Squid("ntlmclose", 3130, ("ntlm", "close")),
    Squid("tls", 3131, ("ntlm",), tls=True),
    Squid("ntlm5", 3132, ("ntlm",), children=5),
    Squid("no80", 3134, ("ntlm",)),   # gives no tunnels to port 80
    Squid("lenient", 3133, ("ntlm",)),   # lets whoever has sent a type 1 message pass without the rest
)}

# Every test gets a site of its own (t0.origin.test, t1…), so that it can tell its requests in a proxy's log from others'.
OWN_SITES = 2000
SITES = [
    "origin.test", "blocked.test", "git.test", "registry.test", "index.test",
    # what Claude Code talks to
    "api.anthropic.com", "claude.ai", "claude.com", "platform.claude.com", "downloads.claude.ai", "console.anthropic.com",
    "statsig.anthropic.com", "sentry.io", "mcp-proxy.anthropic.com", "http-intake.logs.us5.datadoghq.com",
    "storage.googleapis.com", "raw.githubusercontent.com", "bridge.claudeusercontent.com",
]
RAW_PORT = 9000
ORIGIN_PORTS = [80, 443, RAW_PORT]

# An SSH server, and the keys for it: its own and that of root, who may log in.
SSH_SITE, SSH_ADDRESS, SSH_PORT = "ssh.test", "127.0.0.82", 22
SSH = RUN / "ssh"
