//! Upstreams that are talked to over TLS.

use std::path::Path;

use hallpass::practice::{DigestAlgorithm, Offer, Tls};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::support::{Office, Relay, RelayPlan, Scripted};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const GET: &str = "GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\n\r\n";
const POST: &str = "POST http://o.practice/digest HTTP/1.1\r\nHost: o.practice\r\nContent-Length: 4\r\n\r\nbody";

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(include_bytes!("../data/localhost.cert.pem")).unwrap()
}

/// `localhost`; NTLM is to be bound to the certificate.
fn tls() -> Tls {
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../data/localhost.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    Tls { config: config.into(), binding: Some(Sha256::digest(certificate()).to_vec()) }
}

fn trust() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/localhost.cert.pem");
    format!("ca_file = \"{}\"", path.display())
}

async fn status(relay: &Relay, request: &str) -> u16 {
    relay.client().await.ask_head(request).await.status()
}

#[tokio::test]
async fn everything_passes_a_proxy_that_speaks_tls_and_binds_ntlm_to_it() {
    for offer in [Offer::Ntlm, Offer::Digest(DigestAlgorithm::Sha256)] {
        let office = Office::with([offer]).tls(tls()).upstream(&trust()).start().await;
        for request in [CONNECT, GET, POST, GET, POST] {
            assert_eq!(status(&office.relay, request).await, 200, "{offer:?} {request:.8}");
        }
        let mut tunnel = office.tunnel().await;
        assert_eq!(
            tunnel.ask("GET /hello HTTP/1.1\r\nHost: o\r\n\r\n").await.text(),
            "hello from the practice origin\n"
        );
        tunnel.finish().await;
        tunnel.ended().await;
        assert_eq!(office.logons().rejected, 0, "{:?}", office.proxy.record().notes());
    }
}

#[tokio::test]
async fn without_the_binding_such_a_proxy_refuses_and_is_not_asked_twice() {
    let lines = format!("{}\nchannel_bindings = \"off\"", trust());
    let office = Office::with([Offer::Ntlm]).tls(tls()).upstream(&lines).start().await;
    assert_eq!(status(&office.relay, CONNECT).await, 407);
    assert_eq!((office.logons().attempted, office.logons().rejected), (1, 1));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_an_end_with_a_reason() {
    let office = Office::with([Offer::Ntlm]).tls(tls()).start().await;
    for request in [CONNECT, GET, POST] {
        let answer = office.relay.client().await.ask(request).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.text().contains("ca_file"), "{}", answer.text());
    }
    assert!(office.relay.stop().await.iter().all(|record| record["end"] == "tls_failed"));
    assert_eq!(office.proxy.record().requests().len(), 0);
}

#[tokio::test]
async fn tls_and_plain_text_taken_for_each_other_end_with_a_hint() {
    let plain = Scripted::start().await;
    let https = format!("https://localhost:{}", plain.addr().port());
    let relay = RelayPlan::default().key("handshake_timeout = \"200ms\"").upstream_at(&https, "").start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let mut upstream = plain.accept().await;
    upstream.once().await;
    upstream.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().contains("https://")), (502, true), "{}", answer.text());
    // One that waits for more says nothing at all.
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let _upstream = plain.accept().await;
    assert_eq!(client.answer().await.status(), 504);
    let office = Office::with([Offer::Ntlm]).tls(tls()).upstream(&trust()).start().await;
    let relay = Relay::before(office.proxy.addr()).start();
    let answer = relay.client().await.ask(CONNECT).await;
    assert_eq!((answer.status(), answer.text().contains("https://")), (502, true), "{}", answer.text());
}
