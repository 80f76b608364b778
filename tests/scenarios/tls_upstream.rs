//! `https://` upstreams: whom we trust, who we are to them, and NTLM bound to the connection.

use std::fs;
use std::sync::Arc;

use hallpass::practice::{Accounts, DigestAlgorithm, Offer, Origin, OriginOptions, Tls};
use hallpass::upstream::fetch::{FetchError, Fetched, Fetcher};
use hallpass::upstream::{Addresses, Resolve, Tls as OurTls, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::{Office, Relay, RelayPlan, Say, Scripted, Upstream};

const CONNECT: &str = "CONNECT o.practice:80 HTTP/1.1\r\nHost: o.practice:80\r\n\r\n";
const GET: &str = "GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\n\r\n";
const POST: &str = "POST http://o.practice/digest HTTP/1.1\r\nHost: o.practice\r\nContent-Length: 4\r\n\r\nbody";

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

    fn trust(&self) -> String {
        format!("ca_file = \"{}\"", self.file("ca.pem"))
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

async fn status(relay: &Relay, request: &str) -> u16 {
    relay.client().await.ask_head(request).await.status()
}

#[tokio::test]
async fn everything_passes_a_proxy_that_speaks_tls_and_binds_ntlm_to_it() {
    let authority = Authority::new();
    for offer in [Offer::Ntlm, Offer::Digest(DigestAlgorithm::Sha256)] {
        let office = Office::with([offer]).tls(authority.tls(false, true)).upstream(&authority.trust()).start().await;
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
    let authority = Authority::new();
    let lines = format!("{}\nchannel_bindings = \"off\"", authority.trust());
    let office = Office::with([Offer::Ntlm]).tls(authority.tls(false, true)).upstream(&lines).start().await;
    assert_eq!(status(&office.relay, CONNECT).await, 407);
    assert_eq!((office.logons().attempted, office.logons().rejected), (1, 1));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_an_end_with_a_reason() {
    let office = Office::with([Offer::Ntlm]).tls(Authority::new().tls(false, false)).start().await;
    for request in [CONNECT, GET, POST] {
        let answer = office.relay.client().await.ask(request).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.text().contains("ca_file"), "{}", answer.text());
    }
    assert!(office.relay.stop().await.iter().all(|record| record["end"] == "tls_failed"));
    assert_eq!(office.proxy.record().requests().len(), 0);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_upstream_that_wants_one() {
    let authority = Authority::new();
    let (certificate, key) = (authority.file("me.pem"), authority.file("me.key"));
    let ours = format!("{}\nclient_cert = \"{certificate}\"\nclient_key = \"{key}\"", authority.trust());
    for (lines, expected) in [(ours, 200), (authority.trust(), 502)] {
        let office = Office::with([Offer::Ntlm]).tls(authority.tls(true, false)).upstream(&lines).start().await;
        for request in [CONNECT, GET] {
            assert_eq!(status(&office.relay, request).await, expected, "{request:.8}");
        }
    }
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
    let authority = Authority::new();
    let office =
        Office::with([Offer::Ntlm]).tls(authority.tls(false, false)).upstream(&authority.trust()).start().await;
    let relay = Relay::before(office.proxy.addr()).start();
    let answer = relay.client().await.ask(CONNECT).await;
    assert_eq!((answer.status(), answer.text().contains("https://")), (502, true), "{}", answer.text());
}

#[tokio::test]
async fn a_connection_that_was_let_through_at_first_is_bound_to_when_it_is_asked_later() {
    let authority = Authority::new();
    let plan = Office::with([Offer::Ntlm]).tls(authority.tls(false, true)).upstream(&authority.trust());
    let office = plan.start().await;
    assert_eq!(status(&office.relay, GET).await, 200);
    for (number, request) in [GET, POST].into_iter().enumerate() {
        let elsewhere = |request: &str| request.replace("o.practice", &format!("p{number}.practice"));
        office.proxy.demand(false);
        assert_eq!(status(&office.relay, &elsewhere(GET)).await, 200);
        office.proxy.demand(true);
        assert_eq!(status(&office.relay, &elsewhere(request)).await, 200, "{request:.8}");
    }
    assert_eq!(office.logons().rejected, 0, "{:?}", office.proxy.record().notes());
}

struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
    }
}

#[tokio::test]
async fn a_script_is_fetched_over_tls_and_a_certificate_that_nobody_vouches_for_is_somebody_there() {
    let authority = Authority::new();
    let tls = Some(authority.tls(false, false));
    let origin = Origin::start(OriginOptions { accounts: Accounts::new([]), tls }).await.unwrap();
    let url = format!("https://localhost:{}/hello", origin.addr().port());
    let mut fetcher = Fetcher::new(Arc::new(Here), Arc::new(|_| false));
    let options = TlsOptions { ca_file: Some(authority.file("ca.pem").into()), client_cert: None };
    fetcher.tls = OurTls::new(&options).unwrap();
    let to_tls = format!("HTTP/1.1 301 X\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
    let redirects = Upstream::start(move |_| Say::answer(to_tls.clone())).await;
    for url in [url.clone(), format!("http://{}/", redirects.addr)] {
        let fetched = fetcher.fetch(&url, None).await.unwrap();
        assert!(
            matches!(fetched, Fetched::Text { bytes, .. } if bytes == b"hello from the practice origin\n"),
            "{url}"
        );
    }
    fetcher.tls = OurTls::system();
    let error = fetcher.fetch(&url, None).await.unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)) && !error.is_unreachable(), "{error:?}");
}
