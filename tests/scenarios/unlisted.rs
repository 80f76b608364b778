//! Upstreams that only a script names: they work, and see nothing of a credential that was not meant for them.

use std::error::Error;

use hallpass::address::Protocol;
use hallpass::auth::Scheme;
use hallpass::upstream::{BodyHint, Connected};

use crate::support::{Say, Scripted, Upstream, hop, lease, route, tunnel, ways};

const DEMANDS: &str = "HTTP/1.1 407 Log in\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\
     Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nProxy-Authenticate: Basic realm=\"r\"\r\n\
     Content-Length: 0\r\n\r\n";

const ALL: [Scheme; 4] = [Scheme::Negotiate, Scheme::Ntlm, Scheme::Digest, Scheme::Basic];

fn chain(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[tokio::test]
async fn an_upstream_that_nobody_vouched_for_gets_nothing_of_a_credential_and_the_refusal_says_what_to_add() {
    for host in ["proxy.evil.test", "corp.example.evil.test", "evilcorp.example", "corp.example"] {
        let evil = Upstream::start(|heard| Say::answer(DEMANDS).to(heard.head.method())).await;
        let ways = ways(&["*.corp.example", "proxy.other.test"], &ALL);
        let route = route([hop(Protocol::Http, host, evil.addr)]);
        let refused = chain(&tunnel(&ways, &route).await.unwrap_err());
        assert!(refused.contains(&format!("no credential is meant for http://{host}")), "{refused}");
        assert!(refused.contains(&format!("--credential-for {host}")), "{refused}");
        assert!(refused.contains(&format!("for = [\"{host}\"] in [credentials.NAME]")), "{refused}");
        assert_eq!(refused.matches("no credential is meant").count(), 1, "{refused}");
        assert!(lease(&ways, &route, BodyHint::Long).await.is_err(), "{host}");
        assert!(evil.heard().len() >= 2);
        for heard in evil.heard() {
            assert!(!heard.head.has("proxy-authorization"), "{host}: {:?}", heard.head);
            assert!(!heard.head.has("authorization"), "{host}: {:?}", heard.head);
        }
    }
}

#[tokio::test]
async fn an_upstream_that_a_pattern_covers_gets_the_credential() {
    let office = Upstream::ntlm(|challenge, _| {
        Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"))
    })
    .await;
    let ways = ways(&["*.corp.example"], &Scheme::DEFAULT);
    let route = route([hop(Protocol::Http, "proxy.corp.example", office.addr)]);
    for _ in 0..2 {
        assert!(matches!(tunnel(&ways, &route).await, Ok(Connected::Tunnel(_))));
    }
    // What it takes is remembered, as of any upstream.
    assert_eq!(office.types(), [0, 1, 3, 1, 3]);
}

#[tokio::test]
async fn an_upstream_that_asks_for_nothing_is_used_whoever_named_it() {
    let open = Upstream::start(Say::welcome).await;
    let ways = ways(&[], &[]);
    let route = route([hop(Protocol::Http, "proxy.anywhere.test", open.addr)]);
    assert!(matches!(tunnel(&ways, &route).await, Ok(Connected::Tunnel(_))));
    assert!(lease(&ways, &route, BodyHint::Empty).await.is_ok());
}

#[tokio::test]
async fn an_unlisted_upstream_behind_tls_is_trusted_only_as_far_as_the_system_trusts_it() {
    let mute = Scripted::start().await;
    let ways = ways(&[], &[]);
    let route = route([hop(Protocol::Https, "proxy.anywhere.test", mute.addr())]);
    let dialled = async {
        let mut peer = mute.accept().await;
        let hello = peer.once().await;
        peer.send("HTTP/1.1 400 No\r\n\r\n").await;
        hello
    };
    let (error, hello) = tokio::join!(tunnel(&ways, &route), dialled);
    // A TLS record with a handshake in it (RFC 8446 §5.1).
    assert_eq!(hello.first(), Some(&22));
    let error = chain(&error.unwrap_err());
    assert!(error.contains("no TLS connection to proxy.anywhere.test"), "{error}");
}
