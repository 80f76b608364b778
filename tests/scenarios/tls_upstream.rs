//! `https://` upstreams: whom we trust, who we are to them, and NTLM bound to the connection.

use std::fs;
use std::sync::Arc;

use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions, Tls,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::{PASSWORD, Relay, RelayPlan, Scripted};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const GET: &str = "GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\n\r\n";

/// An authority with a certificate for the upstream and one for us, in files as a user has them.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("ca.pem"), issuer.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let ours = CertificateParams::new(["relay.practice".into()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(files.path().join("me.pem"), ours.pem()).unwrap();
        fs::write(files.path().join("me.key"), key.serialize_pem()).unwrap();
        Self { issuer, files }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    fn tls(&self, demands_certificate: bool, bound: bool) -> Tls {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_string(), "127.0.0.1".to_string()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if demands_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let binding = bound.then(|| Sha256::digest(certificate.der()).to_vec());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Tls { config: config.into(), binding }
    }
}

struct Stage {
    proxy: CorporateProxy,
    _origin: Origin,
}

impl Stage {
    async fn with(tls: Tls) -> Self {
        let accounts = Accounts::new([Account::new("PRACTICE", "alice", PASSWORD)]);
        let origin = Origin::start(OriginOptions::default()).await.unwrap();
        let proxy = CorporateProxy::start(ProxyOptions {
            gate: Gate::new([Offer::Ntlm], accounts, "PRACTICE"),
            names: Names::none().with("*.practice", Place::At(origin.addr())),
            tls: Some(tls),
            ..ProxyOptions::default()
        })
        .await
        .unwrap();
        Self { proxy, _origin: origin }
    }

    fn relay(&self, lines: &str) -> Relay {
        RelayPlan::default().upstream_with_url(&format!("https://{}", self.proxy.addr()), lines).start()
    }

    async fn statuses(&self, lines: &str) -> Vec<u16> {
        let relay = self.relay(lines);
        let mut statuses = Vec::new();
        for request in [CONNECT, GET] {
            statuses.push(relay.client().await.ask_head(request).await.status());
        }
        statuses
    }
}

#[tokio::test]
async fn ntlm_over_tls_is_bound_to_the_upstreams_certificate_unless_switched_off() {
    let authority = Authority::new();
    let stage = Stage::with(authority.tls(false, true)).await;
    let ca = format!("ca_file = \"{}\"", authority.file("ca.pem"));
    assert_eq!(stage.statuses(&ca).await, [200, 200]);
    assert_eq!(stage.proxy.record().notes(), [""; 0]);
    assert_eq!(stage.statuses(&format!("{ca}\nchannel_bindings = \"off\"")).await, [407, 407]);
    assert_eq!(stage.proxy.record().notes().len(), 2, "{:?}", stage.proxy.record().notes());
}

#[tokio::test]
async fn an_upstream_whose_authority_nobody_trusts_gets_nothing() {
    let stage = Stage::with(Authority::new().tls(false, false)).await;
    let relay = stage.relay("");
    for request in [CONNECT, GET] {
        let answer = relay.client().await.ask(request).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.text().contains("ca_file"), "{}", answer.text());
    }
    assert!(stage.proxy.record().requests().is_empty());
    assert!(relay.stop().await.iter().all(|record| record["end"] == "tls_failed"));
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_upstream_that_wants_one() {
    let authority = Authority::new();
    let stage = Stage::with(authority.tls(true, false)).await;
    let ca = format!("ca_file = \"{}\"", authority.file("ca.pem"));
    let ours =
        format!("{ca}\nclient_cert = \"{}\"\nclient_key = \"{}\"", authority.file("me.pem"), authority.file("me.key"));
    assert_eq!(stage.statuses(&ours).await, [200, 200]);
    assert_eq!(stage.statuses(&ca).await, [502, 502]);
}

#[tokio::test]
async fn tls_and_plain_text_taken_for_each_other_end_with_a_hint() {
    let plain = Scripted::start().await;
    let https = format!("https://localhost:{}", plain.addr().port());
    let relay = RelayPlan::default().key("handshake_timeout = \"200ms\"").upstream_with_url(&https, "").start();
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
    // The other way round, the upstream answers with an alert.
    let secure = Scripted::start().await;
    let relay = Relay::before(secure.addr()).start();
    let mut client = relay.client().await;
    client.send(CONNECT).await;
    let mut upstream = secure.accept().await;
    upstream.once().await;
    upstream.send(b"\x15\x03\x01\x00\x02\x02\x46").await;
    upstream.finish().await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().contains("https://")), (502, true), "{}", answer.text());
}
