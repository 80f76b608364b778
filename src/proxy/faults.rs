//! Every refusal of the relay at a glance: its name in `docs/errors.md`, how it is answered and counted, at whose end the
//! fault lies, and what to do. `respond` picks one and says what happened.

use std::fmt;

use crate::audit::End;

/// At whose end the fault lies, in words for somebody who knows nothing of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Program,
    Settings,
    Account,
    CorporateProxy,
    PacScript,
    Network,
    Target,
    Machine,
    Owner,
    Hallpass,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "your program",
            Self::Settings => "this relay's settings",
            Self::Account => "your account",
            Self::CorporateProxy => "the corporate proxy",
            Self::PacScript => "the PAC script",
            Self::Network => "the network",
            Self::Target => "the target",
            Self::Machine => "this machine",
            Self::Owner => "the owner of this relay",
            Self::Hallpass => "hallpass itself",
        })
    }
}

/// One kind of refusal.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of its section in `docs/errors.md`; others may search for it, so it stays.
    pub anchor: &'static str,
    pub status: u16,
    pub end: End,
    /// Proxy error type of RFC 9209 §2.3.
    pub kind: &'static str,
    pub whose: Whose,
    pub hint: &'static str,
}

macro_rules! faults {
    ($($name:ident: $anchor:literal, $status:literal, $end:ident, $kind:literal, $whose:ident, $hint:literal;)*) => {
        $(pub const $name: Fault = Fault {
            anchor: $anchor,
            status: $status,
            end: End::$end,
            kind: $kind,
            whose: Whose::$whose,
            hint: $hint,
        };)*

        pub const ALL: &[&Fault] = &[$(&$name),*];
    };
}

faults! {
    // What the program sent.
    NOT_HTTP: "not-http", 400, BadRequest, "http_request_error", Program,
        "this address is an HTTP proxy: name it in the program as http://127.0.0.1:3128, with http:// for https sites too";
    HEAD_TOO_LARGE: "head-too-large", 431, BadRequest, "http_request_error", Program,
        "the program sends very long fields, cookies often; max_head in the configuration sets the limit";
    URL_TOO_LONG: "url-too-long", 414, BadRequest, "http_request_error", Program,
        "max_head in the configuration sets the limit";
    SLOW_HEAD: "slow-request", 408, BadRequest, "http_request_error", Program,
        "it connected and asked for nothing; head_timeout in the configuration sets the limit";
    BAD_TARGET: "bad-target", 400, BadRequest, "http_request_error", Program,
        "the target must be host:port for CONNECT, or a URL such as http://host/path";
    NOT_A_URL: "not-a-url", 400, BadRequest, "http_request_error", Program,
        "the target must be a URL such as http://host/path";
    LOGIN_IN_URL: "login-in-url", 400, BadRequest, "http_request_error", Program,
        "take user and password out of the URL and send them in an Authorization field";
    CONNECT_WITH_BODY: "connect-with-body", 400, BadRequest, "http_request_error", Program,
        "send it inside the tunnel";
    PAGE_WITH_BODY: "page-with-body", 400, BadRequest, "http_request_error", Program,
        "use GET without a body";
    MAX_FORWARDS: "max-forwards", 400, BadRequest, "http_request_error", Program,
        "leave Max-Forwards out of the request";
    HTTPS_WITHOUT_CONNECT: "https-without-connect", 400, BadRequest, "http_request_error", Program,
        "ask for https sites with CONNECT: set HTTPS_PROXY (and HTTP_PROXY) to this relay";
    NOT_HTTP_INSIDE: "port-80-not-http", 400, BadRequest, "http_request_error", Program,
        "use another port for anything else, or set connect_port_80 = \"tunnel\"";
    NOT_SOCKS: "not-socks", 400, BadRequest, "http_request_error", Program,
        "this port is for SOCKS clients (socks5h://127.0.0.1:1080); HTTP proxies are on other ports, 3128 mostly";
    LOOP: "loop", 403, Loop, "proxy_loop_detected", Program,
        "a setting points this relay to itself; name the target's own address, and not the proxy's";
    LOCAL_ADDRESS: "local-address", 403, Denied, "http_request_denied", Program,
        "loopback, link-local and this machine's own addresses are for its own programs";
    FOREIGN_HOST: "foreign-host", 421, BadRequest, "http_request_error", Program,
        "set this address as the proxy and not as the site; local_hosts lists further names of this relay";
    FOREIGN_ORIGIN: "foreign-origin", 403, Denied, "http_request_denied", Program,
        "type the address into the browser instead of following a link";
    ONLY_READ: "only-read", 405, BadRequest, "http_request_error", Program,
        "use GET; `hallpass login` and the configuration change things";
    NO_PAGE: "no-page", 404, BadRequest, "http_request_error", Program,
        "there are / and /status, /metrics, /proxy.pac, /healthz and /readyz";
    TOKEN_WANTED: "token-wanted", 407, PeerDenied, "http_request_denied", Program,
        "put the token into the proxy's URL, http://x:TOKEN@host:port; the relay's owner knows it";

    // Who may use this relay, and for what.
    NOT_SERVED: "not-served", 403, PeerDenied, "http_request_denied", Owner,
        "ask whoever runs it: the log and `hallpass status` show the line that would let you in; or start one of your own";
    CLIENT_GONE: "client-gone", 403, ClientClosed, "http_request_denied", Program,
        "nobody waits for this answer any more";
    PORT_DENIED: "port-denied", 403, Denied, "http_request_denied", Settings,
        "connect_ports in the configuration lists the ports that are allowed";
    DENIED: "denied", 403, Denied, "http_request_denied", Settings,
        "rules and never_direct in the configuration say what may go where; `hallpass explain URL` shows which of them holds";
    TOO_MANY_CLIENTS: "too-many-clients", 503, Limit, "connection_limit_reached", Settings,
        "try again; max_clients in the configuration sets the limit";
    OPEN_FILES: "open-files", 503, Limit, "connection_limit_reached", Machine,
        "try again; the limit of open files (ulimit -n, LimitNOFILE=) says how much fits at a time";

    // No way that could be tried.
    PAC_FAILED: "pac-failed", 502, Unreachable, "proxy_configuration_error", PacScript,
        "connect to the company's network (VPN), or tell whoever looks after the script; `hallpass status` says how it stands";
    NO_WAY: "no-way", 502, Unreachable, "proxy_configuration_error", Settings,
        "`hallpass explain URL` shows the way and the reason; is the network (VPN) up?";
    NETWORK_CHANGED: "network-changed", 502, Unreachable, "destination_unavailable", Network,
        "try again";

    // The way to the corporate proxy.
    PROXY_NAME: "proxy-name-unknown", 502, Unreachable, "dns_error", Network,
        "connect to the company's network (VPN); if you are there, the proxy's name in the settings is wrong";
    PROXY_UNROUTABLE: "proxy-unroutable", 502, Unreachable, "destination_ip_unroutable", Network,
        "connect to the company's network (VPN); if you are there, the proxy's address in the settings is wrong";
    PROXY_REFUSES: "proxy-refuses-connections", 502, Unreachable, "connection_refused", Network,
        "connect to the company's network (VPN); if you are there, the proxy's address or port in the settings is wrong";
    PROXY_SILENT: "proxy-silent", 504, ConnectTimeout, "connection_timeout", Network,
        "connect to the company's network (VPN); connect_timeout in the configuration sets the limit";
    PROXY_DOWN: "proxy-down", 502, Unreachable, "connection_refused", Network,
        "is the network (VPN) up, and the address right? The proxy is used again as soon as it answers";
    PROXY_STILL_SILENT: "proxy-still-silent", 504, ConnectTimeout, "connection_timeout", Network,
        "is the network (VPN) up? The proxy is used again as soon as it answers";

    // The way to a target without a corporate proxy.
    TARGET_NAME: "target-name-unknown", 502, Unreachable, "dns_error", Target,
        "check its name; it goes directly, without a corporate proxy, and `hallpass explain URL` says why";
    TARGET_UNROUTABLE: "target-unroutable", 502, Unreachable, "destination_ip_unroutable", Network,
        "is the network up? It goes directly, without a corporate proxy, and `hallpass explain URL` says why";
    TARGET_REFUSES: "target-refuses-connections", 502, Unreachable, "connection_refused", Target,
        "check its address and port; it goes directly, without a corporate proxy, and `hallpass explain URL` says why";
    TARGET_SILENT: "target-silent", 504, ConnectTimeout, "connection_timeout", Target,
        "is it up? It goes directly, without a corporate proxy, and `hallpass explain URL` says why";

    // The talk with the corporate proxy.
    UNKNOWN_AUTHORITY: "tls-unknown-authority", 502, TlsFailed, "tls_protocol_error", Settings,
        "ask your IT for the certificate (PEM) of the company's authority, and name it with ca_file in the proxy's table";
    TLS_NAME: "tls-wrong-name", 502, TlsFailed, "tls_protocol_error", Settings,
        "write the name that the proxy's certificate is for into url";
    TLS_NOT_SPOKEN: "tls-not-spoken", 502, TlsFailed, "tls_protocol_error", Settings,
        "it speaks no TLS on this port: write http:// in place of https:// into url";
    TLS_FAILED: "tls-failed", 502, TlsFailed, "tls_protocol_error", CorporateProxy,
        "is it an https:// proxy, and does it want a certificate of yours (client_cert and client_key)?";
    PROXY_SLOW: "proxy-slow", 504, HandshakeTimeout, "connection_read_timeout", CorporateProxy,
        "the proxy or its log-in service hangs: try again, then tell your IT; handshake_timeout sets the limit";
    PROXY_BROKE_OFF: "proxy-broke-off", 502, HandshakeBroken, "http_response_incomplete", CorporateProxy,
        "try again; if it stays: is it really an HTTP proxy (http:// or https://), and the port right?";
    ANSWER_BROKEN: "answer-broken", 502, HandshakeBroken, "http_response_incomplete", CorporateProxy,
        "try again; if it stays, your IT finds more in the proxy's own log";
    ENDLESS: "endless-log-in", 502, HandshakeBroken, "http_response_incomplete", CorporateProxy,
        "more messages than any scheme needs: `hallpass --log trace` shows them, please report it";
    BODY_GONE: "body-sent-too-early", 502, HandshakeBroken, "http_response_incomplete", CorporateProxy,
        "try again: the log-in is known now";
    EXPECTATION_FAILED: "expectation-failed", 502, HandshakeBroken, "http_response_incomplete", CorporateProxy,
        "try again";
    SOCKS_FORBIDS: "socks-forbidden", 403, UpstreamRefused, "http_request_denied", CorporateProxy,
        "the proxy's rules forbid this target: ask your IT";
    SOCKS_TARGET_REFUSES: "socks-target-refuses", 502, UpstreamRefused, "connection_refused", Target,
        "the proxy was reached, and the target not: are its name and port right?";
    SOCKS_TARGET_SILENT: "socks-target-silent", 504, UpstreamRefused, "connection_timeout", Target,
        "the proxy was reached, and the target not: is it up?";
    SOCKS_TARGET: "socks-target-unreachable", 502, UpstreamRefused, "destination_unavailable", Target,
        "the proxy was reached, and the target not: is its name right?";
    SOCKS_IPV6: "socks-no-ipv6", 502, UpstreamRefused, "destination_unavailable", Settings,
        "write socks5:// into url if the proxy knows it, or ask for the target by name";
    SOCKS_LOGIN: "socks-login", 502, UpstreamRefused, "destination_unavailable", Settings,
        "name a user and a password for this proxy, and schemes = [\"basic\"] in its table";
    SOCKS_LOGIN_LENGTH: "socks-login-length", 502, UpstreamRefused, "proxy_configuration_error", Settings,
        "look at the credential's user and password";
    NOT_A_SOCKS_PROXY: "not-a-socks-proxy", 502, HandshakeBroken, "http_response_incomplete", Settings,
        "is it really a SOCKS proxy of this version (socks5:// or socks4://), or an HTTP proxy (http://)?";

    // The log-in at the corporate proxy.
    CREDENTIAL_REJECTED: "credential-rejected", 407, CredentialRejected, "http_request_denied", Account,
        "check user and password where they are configured, then run `hallpass login`, or `hallpass status --retry` for one more try; nothing more is sent before";
    ACCOUNT_LOCKED: "account-locked", 407, CredentialRejected, "http_request_denied", Account,
        "have your IT unlock the account, then run `hallpass status --retry`; nothing more is sent before";
    PASSWORD_EXPIRED: "password-expired", 407, CredentialRejected, "http_request_denied", Account,
        "set a new password, then run `hallpass login` or change it in the configuration; nothing more is sent before";
    CREDENTIAL_CLOSED: "credential-not-sent-again", 407, BreakerOpen, "http_request_denied", Account,
        "run `hallpass login` or change the password where it is configured; `hallpass status --retry` asks for one more try";
    CREDENTIAL_UNJUDGED: "credential-unjudged", 407, BreakerOpen, "http_request_denied", CorporateProxy,
        "wait, so that your account is not locked, or run `hallpass status --retry` for one more try";
    LOG_INS_WAIT: "log-ins-waiting", 503, Limit, "connection_limit_reached", CorporateProxy,
        "its log-in service is slow: try again";
    NOT_MEANT: "credential-not-meant", 407, NoCredential, "http_request_denied", Settings,
        "only a script or the system names this proxy: if it is your company's, add what the sentence says";
    NO_TICKET: "no-ticket", 407, NoCredential, "http_request_denied", Account,
        "get a Kerberos ticket with kinit, or name your account (--user 'DOMAIN\\you') and run `hallpass login`";
    NO_USER: "no-user", 407, NoCredential, "http_request_denied", Settings,
        "name your account (--user 'DOMAIN\\you', or user in the configuration) and run `hallpass login`";
    NO_SECRET: "no-password", 407, NoCredential, "http_request_denied", Settings,
        "run `hallpass login` to store the password, or mend what the sentence names";
    NO_KDC: "no-kdc", 407, NoCredential, "http_request_denied", Network,
        "connect to the company's network (VPN); kdc in the credential's table names a log-on server";
    SERVICE_UNKNOWN: "proxy-not-in-directory", 407, NoCredential, "http_request_denied", CorporateProxy,
        "write the proxy by its full name into url, or its name in the directory into spn; else ask your IT";
    CLOCK_SKEW: "clock-skew", 407, NoCredential, "http_request_denied", Machine,
        "set the clock of this machine";
    NO_LOG_IN: "no-log-in", 407, NoCredential, "http_request_denied", Settings,
        "mend what the sentence names for each scheme";
    NO_SCHEME: "no-scheme", 407, NoCredential, "http_request_denied", Settings,
        "schemes (--scheme) names what may be used; basic only if it is named: it shows the password to everyone on the way";

    // Ourselves.
    NO_HOP: "no-hop", 502, Internal, "proxy_internal_error", Hallpass,
        "no hop is configured for this target: please report it with the log";
    MISTAKE: "mistake", 502, Internal, "proxy_internal_error", Hallpass,
        "the log names the place: please report it";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_that_fits_into_a_link() {
        for fault in ALL {
            let is_plain = fault.anchor.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            assert!(is_plain && !fault.anchor.is_empty(), "{fault:?}");
            assert_eq!(ALL.iter().filter(|other| other.anchor == fault.anchor).count(), 1, "{}", fault.anchor);
        }
    }

    #[test]
    fn a_hint_says_in_one_line_what_to_do() {
        for fault in ALL {
            let is_one_line = !fault.hint.contains(['\n', '\r']) && !fault.hint.ends_with('.');
            assert!(is_one_line && fault.hint.len() > 5, "{fault:?}");
        }
    }
}
