//! The practice proxy and origin by themselves: a judge must be right before it judges.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass::practice::{
    Account, Accounts, CorporateProxy, DigestAlgorithm, Gate, Logons, Names, Offer, Origin, OriginOptions, Place,
    ProxyOptions, Tls,
};
use md5::{Digest as _, Md5};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::Sha256;
use sspi::{
    AuthIdentity, BufferType, ClientRequestFlags, CredentialUse, DataRepresentation, Ntlm, SecurityBuffer, Sspi,
    SspiImpl, Username,
};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PASSWORD: &str = "corr\u{e9}ct horse: battery";

struct World {
    proxy: CorporateProxy,
    origin: Origin,
}

async fn world(offers: impl IntoIterator<Item = Offer>, change: impl FnOnce(Gate) -> Gate) -> World {
    let accounts = Accounts::new([Account::new("PRACTICE", "alice", PASSWORD)]);
    let origin = Origin::start(OriginOptions { accounts: accounts.clone(), ..OriginOptions::default() }).await.unwrap();
    let proxy = CorporateProxy::start(ProxyOptions {
        gate: change(Gate::new(offers, accounts, "PRACTICE")),
        names: Names::none().with("origin.practice", Place::At(origin.addr())),
        denied: vec!["*.denied.practice".into()],
        ..ProxyOptions::default()
    })
    .await
    .unwrap();
    World { proxy, origin }
}

/// A client that sees every byte: one connection, heads as text.
struct Client<S = TcpStream>(BufReader<S>);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn ask(&mut self, request: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("{request} HTTP/1.1\r\nHost: origin.practice\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.0.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = self.head().await;
        let length = answer.fields("content-length").first().map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        self.0.read_exact(&mut answer.body).await.unwrap();
        answer
    }

    async fn head(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).await.unwrap() > 0, "closed after {head:?}");
        }
        Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() }
    }
}

/// The proving side of NTLM, by the crate that the relay proves with.
struct Prover {
    ntlm: Ntlm,
    credentials: Option<sspi::AuthIdentityBuffers>,
}

impl Prover {
    fn new(domain: &str, user: &str, password: &str, binding: Option<&[u8]>) -> Self {
        let mut ntlm = Ntlm::new();
        if let Some(hash) = binding {
            ntlm.set_channel_bindings(&[b"tls-server-end-point:", hash].concat());
        }
        let username = Username::new(user, Some(domain)).unwrap();
        let identity = AuthIdentity { username, password: password.to_string().into() };
        let credentials = ntlm
            .acquire_credentials_handle()
            .with_credential_use(CredentialUse::Outbound)
            .with_auth_data(&identity)
            .execute(&mut ntlm)
            .unwrap()
            .credentials_handle;
        Self { ntlm, credentials }
    }

    fn step(&mut self, token: &[u8]) -> Vec<u8> {
        let mut input = [SecurityBuffer::new(token.to_vec(), BufferType::Token)];
        let mut output = vec![SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut builder = self
            .ntlm
            .initialize_security_context()
            .with_credentials_handle(&mut self.credentials)
            .with_context_requirements(ClientRequestFlags::empty())
            .with_target_data_representation(DataRepresentation::Native)
            .with_input(&mut input)
            .with_output(&mut output);
        self.ntlm.initialize_security_context_impl(&mut builder).unwrap().resolve_to_result().unwrap();
        output.remove(0).buffer
    }
}

async fn ntlm<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>, request: &str, prover: &mut Prover) -> Answer {
    let first = format!("NTLM {}", STANDARD.encode(prover.step(&[])));
    let challenge = client.ask(request, &[("Proxy-Authorization", &first)], "").await;
    assert_eq!(challenge.status, 407);
    let token = challenge.fields("proxy-authenticate")[0].strip_prefix("NTLM ").unwrap().to_string();
    let last = format!("NTLM {}", STANDARD.encode(prover.step(&STANDARD.decode(token).unwrap())));
    client.ask(request, &[("Proxy-Authorization", &last)], "").await
}

const HELLO: &str = "GET http://origin.practice/hello";

#[tokio::test]
async fn without_credentials_every_offer_is_named_in_order() {
    let md5 = Offer::Digest(DigestAlgorithm::Md5);
    let world = world([Offer::NtlmInNegotiate, Offer::Ntlm, md5, Offer::Basic], |gate| gate).await;
    let answer = Client::connect(world.proxy.addr()).await.ask(HELLO, &[], "").await;
    let schemes: Vec<&str> =
        answer.fields("proxy-authenticate").iter().map(|value| value.split(' ').next().unwrap()).collect();
    assert_eq!((answer.status, &schemes[..]), (407, &["Negotiate", "NTLM", "Digest", "Basic"][..]));
    assert_eq!(world.origin.record().connections(), 0);
}

#[tokio::test]
async fn ntlm_lets_the_right_password_in_and_the_connection_stays_so() {
    let world = world([Offer::Ntlm], |gate| gate).await;
    for (domain, user) in [("PRACTICE", "alice"), ("practice", "ALICE"), ("", "alice"), ("", "alice@practice")] {
        let mut client = Client::connect(world.proxy.addr()).await;
        let answer = ntlm(&mut client, HELLO, &mut Prover::new(domain, user, PASSWORD, None)).await;
        assert_eq!(answer.status, 200, "{domain} {user} {:?}", world.proxy.record().notes());
        assert_eq!(client.ask(HELLO, &[], "").await.status, 200);
    }
    assert_eq!(world.proxy.record().logons(), Logons { attempted: 4, accepted: 4, rejected: 0 });
    assert_eq!(world.proxy.record().connections(), 4);
    assert_eq!(world.proxy.record().users()[1], "PRACTICE\\alice");
}

#[tokio::test]
async fn ntlm_keeps_wrong_passwords_and_foreign_accounts_out() {
    let world = world([Offer::Ntlm], |gate| gate).await;
    for (domain, user, password) in
        [("PRACTICE", "alice", "wrong"), ("OTHER", "alice", PASSWORD), ("PRACTICE", "bob", PASSWORD)]
    {
        let mut client = Client::connect(world.proxy.addr()).await;
        let answer = ntlm(&mut client, HELLO, &mut Prover::new(domain, user, password, None)).await;
        assert_eq!((answer.status, answer.fields("proxy-authenticate")), (407, vec!["NTLM"]), "{domain} {user}");
        assert_eq!(client.ask(HELLO, &[], "").await.status, 407);
    }
    assert_eq!(world.proxy.record().logons(), Logons { attempted: 3, accepted: 0, rejected: 3 });
}

#[tokio::test]
async fn a_flipped_bit_in_the_ntlm_proof_is_noticed() {
    let world = world([Offer::Ntlm], |gate| gate).await;
    for (damage, accepted) in [(None, true), (Some(0), false), (Some(15), false)] {
        let mut client = Client::connect(world.proxy.addr()).await;
        let mut prover = Prover::new("PRACTICE", "alice", PASSWORD, None);
        let first = format!("NTLM {}", STANDARD.encode(prover.step(&[])));
        let challenge = client.ask(HELLO, &[("Proxy-Authorization", &first)], "").await;
        let token = challenge.fields("proxy-authenticate")[0].strip_prefix("NTLM ").unwrap().to_string();
        let mut last = prover.step(&STANDARD.decode(token).unwrap());
        if let Some(at) = damage {
            let response = u32::from_le_bytes(last[24..28].try_into().unwrap()) as usize;
            last[response + at] ^= 1;
        }
        let last = format!("NTLM {}", STANDARD.encode(last));
        let answer = client.ask(HELLO, &[("Proxy-Authorization", &last)], "").await;
        assert_eq!(answer.status == 200, accepted, "{damage:?}");
    }
}

#[tokio::test]
async fn a_demanded_channel_binding_must_be_there_and_be_the_right_one() {
    let world = world([Offer::Ntlm], |gate| gate.binding(Some(vec![7; 32]))).await;
    for (binding, status) in [(Some(&[7; 32]), 200), (Some(&[8; 32]), 407), (None, 407)] {
        let mut prover = Prover::new("PRACTICE", "alice", PASSWORD, binding.map(|hash| &hash[..]));
        let mut client = Client::connect(world.proxy.addr()).await;
        assert_eq!(ntlm(&mut client, HELLO, &mut prover).await.status, status, "{binding:?}");
    }
    assert_eq!(world.proxy.record().notes(), ["foreign channel binding", "no channel binding"]);
}

#[tokio::test]
async fn a_new_type_1_ends_what_the_connection_had_proved() {
    let world = world([Offer::Ntlm], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    ntlm(&mut client, HELLO, &mut Prover::new("PRACTICE", "alice", PASSWORD, None)).await;
    let first = format!("NTLM {}", STANDARD.encode(Prover::new("", "alice", "", None).step(&[])));
    assert_eq!(client.ask(HELLO, &[("Proxy-Authorization", &first)], "").await.status, 407);
    assert_eq!(client.ask(HELLO, &[], "").await.status, 407);
}

#[tokio::test]
async fn basic_is_judged_on_every_request() {
    let world = world([Offer::Basic], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    for (pair, status) in [(format!("alice:{PASSWORD}"), 200), ("alice:no".into(), 407)] {
        let value = format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(client.ask(HELLO, &[("Proxy-Authorization", &value)], "").await.status, status);
    }
    assert_eq!(client.ask(HELLO, &[], "").await.status, 407);
    assert_eq!(world.proxy.record().logons(), Logons { attempted: 2, accepted: 1, rejected: 1 });
}

fn md5_hex(text: String) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 7616 with MD5, written out once more.
fn digest_value(challenge: &str, password: &str, count: u32) -> String {
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let uri = "http://origin.practice/hello";
    let secret = md5_hex(format!("alice:practice:{password}"));
    let request = md5_hex(format!("GET:{uri}"));
    let response = md5_hex(format!("{secret}:{nonce}:{count:08x}:c:auth:{request}"));
    format!(
        "Digest username=\"alice\", realm=\"practice\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, \
         nc={count:08x}, cnonce=\"c\", response=\"{response}\", algorithm=MD5"
    )
}

#[tokio::test]
async fn a_digest_nonce_goes_stale_after_its_uses_and_a_wrong_password_is_never_stale() {
    let world = world([Offer::Digest(DigestAlgorithm::Md5)], |gate| gate.nonce_uses(2)).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    let challenge = client.ask(HELLO, &[], "").await.fields("proxy-authenticate")[0].to_string();
    for (count, password, status, stale) in
        [(1, PASSWORD, 200, false), (2, "wrong", 407, false), (2, PASSWORD, 200, false), (3, PASSWORD, 407, true)]
    {
        let value = digest_value(&challenge, password, count);
        let answer = client.ask(HELLO, &[("Proxy-Authorization", &value)], "").await;
        assert_eq!((answer.status, answer.head.contains("stale=true")), (status, stale), "{count} {password}");
    }
    assert_eq!(world.proxy.record().stale_nonces(), 1);
    assert_eq!(world.proxy.record().logons(), Logons { attempted: 3, accepted: 2, rejected: 1 });
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let world = world([], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    let started = Instant::now();
    client.0.write_all(b"GET http://origin.practice/sse?n=3&ms=100 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut line = String::new();
    let mut times = Vec::new();
    while times.len() < 3 {
        line.clear();
        client.0.read_line(&mut line).await.unwrap();
        if line.starts_with("data:") {
            times.push(started.elapsed());
        }
    }
    assert!(times[0] < Duration::from_millis(90), "{times:?}");
    assert!(times[1] > Duration::from_millis(95) && times[1] < Duration::from_millis(190), "{times:?}");
    assert!(times[2] > Duration::from_millis(195), "{times:?}");
}

#[tokio::test]
async fn denied_and_unknown_hosts_get_a_page_and_the_connection_lives_on() {
    let world = world([], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    for (request, status, kind) in [
        ("GET http://a.denied.practice/", 403, "denied"),
        ("CONNECT a.denied.practice:443", 403, "denied"),
        ("POST http://nowhere.example/", 502, "unreachable"),
        ("GET /hello", 400, "bad-request"),
    ] {
        let answer = client.ask(request, &[], "").await;
        assert_eq!((answer.status, answer.fields("x-practice-error")), (status, vec![kind]), "{request}");
    }
    assert_eq!(client.ask(HELLO, &[], "").await.status, 200);
    assert_eq!(world.proxy.record().connections(), 1);
}

#[tokio::test]
async fn a_tunnel_is_byte_exact_and_half_closes() {
    let world = world([Offer::Ntlm], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    let prover = &mut Prover::new("PRACTICE", "alice", PASSWORD, None);
    assert_eq!(ntlm(&mut client, "CONNECT origin.practice:443", prover).await.status, 200);
    assert_eq!(world.proxy.record().open_tunnels(), 1);
    client.0.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    client.0.get_mut().shutdown().await.unwrap();
    let mut rest = String::new();
    client.0.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("hello from the practice origin\n"), "{rest}");
}

#[tokio::test]
async fn bodies_are_recorded_whole_even_when_refused() {
    let world = world([Offer::Basic], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    let value = format!("Basic {}", STANDARD.encode(format!("alice:{PASSWORD}")));
    let refused = client.ask("POST http://origin.practice/digest", &[], "12345").await;
    let passed = client.ask("POST http://origin.practice/digest", &[("Proxy-Authorization", &value)], "123456").await;
    assert_eq!((refused.status, passed.status), (407, 200));
    assert!(String::from_utf8(passed.body).unwrap().contains("\"length\":6"));
    let seen = world.proxy.record().requests();
    assert_eq!((seen[0].body.bytes, seen[1].body.bytes), (5, 6));
    assert_eq!(seen[0].body.sha256.as_deref().unwrap()[..8], *"5994471a");
    assert_eq!(world.proxy.record().passed(&hyper::Method::POST).len(), 1);
    assert_eq!(world.origin.record().requests()[0].body, seen[1].body);
}

#[tokio::test]
async fn trailers_pass_to_a_client_that_takes_them() {
    let world = world([], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    let request =
        "GET http://origin.practice/trailers HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n";
    client.0.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.0.read_to_string(&mut answer).await.unwrap();
    assert!(answer.to_lowercase().contains("x-practice-trailer: at the end\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_proxy_that_stops_demanding_lets_everybody_pass() {
    let world = world([Offer::Ntlm], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    assert_eq!(client.ask(HELLO, &[], "").await.status, 407);
    world.proxy.demand(false);
    assert_eq!(client.ask(HELLO, &[], "").await.status, 200);
}

#[tokio::test]
async fn an_origin_that_demands_ntlm_knows_one_user_per_connection_through_the_proxy() {
    let world = world([], |gate| gate).await;
    let page = "GET http://origin.practice/ntlm/page";
    let mut alice = Client::connect(world.proxy.addr()).await;
    let mut prover = Prover::new("", "alice", PASSWORD, None);
    let mut value = format!("NTLM {}", STANDARD.encode(prover.step(&[])));
    let challenge = alice.ask(page, &[("Authorization", &value)], "").await;
    assert_eq!(challenge.status, 401);
    assert_eq!(challenge.fields("proxy-support"), ["Session-Based-Authentication"]);
    let token = challenge.fields("www-authenticate")[0].strip_prefix("NTLM ").unwrap().to_string();
    value = format!("NTLM {}", STANDARD.encode(prover.step(&STANDARD.decode(token).unwrap())));
    assert_eq!(alice.ask(page, &[("Authorization", &value)], "").await.body, b"you are PRACTICE\\alice\n");
    assert_eq!(alice.ask(page, &[], "").await.body, b"you are PRACTICE\\alice\n");
    assert_eq!(Client::connect(world.proxy.addr()).await.ask(page, &[], "").await.status, 401);
}

#[tokio::test]
async fn stopping_ends_every_connection() {
    let world = world([], |gate| gate).await;
    let mut client = Client::connect(world.proxy.addr()).await;
    assert_eq!(client.ask("CONNECT origin.practice:80", &[], "").await.status, 200);
    drop(world.proxy);
    let ended = client.0.read(&mut [0; 1]).await;
    assert!(matches!(ended, Ok(0) | Err(_)));
}

/// A certificate of its own, and what clients must trust for it.
fn tls() -> (Tls, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["proxy.practice".to_string()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
    (Tls { config: config.unwrap().into(), binding: Some(Sha256::digest(&certificate).to_vec()) }, certificate)
}

async fn connect_tls(address: SocketAddr, trusted: CertificateDer<'static>) -> Client<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "proxy.practice".try_into().unwrap();
    Client(BufReader::new(TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await.unwrap()))
}

#[tokio::test]
async fn over_tls_ntlm_must_be_bound_to_the_certificate() {
    let (tls, certificate) = tls();
    let binding = tls.binding.clone().unwrap();
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
    for (binding, status) in [(Some(&binding[..]), 200), (None, 407)] {
        let mut client = connect_tls(proxy.addr(), certificate.clone()).await;
        let mut prover = Prover::new("PRACTICE", "alice", PASSWORD, binding);
        assert_eq!(ntlm(&mut client, HELLO, &mut prover).await.status, status);
    }
}

#[tokio::test]
async fn a_proxy_may_close_with_a_bare_refusal_and_keep_the_next_connection() {
    let accounts = Accounts::new([Account::new("PRACTICE", "alice", PASSWORD)]);
    let proxy = CorporateProxy::start(ProxyOptions {
        gate: Gate::new([Offer::Ntlm], accounts, "PRACTICE"),
        close_bare_refusals: true,
        ..ProxyOptions::default()
    })
    .await
    .unwrap();
    let mut client = Client::connect(proxy.addr()).await;
    let refused = client.ask(HELLO, &[], "").await;
    assert_eq!((refused.status, refused.fields("connection")), (407, vec!["close"]));
    assert_eq!(client.0.read(&mut [0; 1]).await.unwrap(), 0);
    let mut client = Client::connect(proxy.addr()).await;
    let answer = ntlm(&mut client, HELLO, &mut Prover::new("PRACTICE", "alice", PASSWORD, None)).await;
    // Past the gate; there is no such host in this proxy's world.
    assert_eq!(answer.fields("x-practice-error"), ["unreachable"]);
}

#[tokio::test]
async fn a_proxy_that_hangs_up_has_judged_the_proof_all_the_same() {
    let world = world([Offer::Basic], |gate| gate).await;
    world.proxy.hang_up(1);
    let value = format!("Basic {}", STANDARD.encode(format!("alice:{PASSWORD}")));
    let mut client = Client::connect(world.proxy.addr()).await;
    let request = format!("{HELLO} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {value}\r\n\r\n");
    client.0.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(client.0.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(world.proxy.record().logons().accepted, 1);
    let mut client = Client::connect(world.proxy.addr()).await;
    assert_eq!(client.ask(HELLO, &[("Proxy-Authorization", &value)], "").await.status, 200);
}

#[tokio::test]
async fn a_body_that_waits_for_100_is_asked_for_only_when_it_is_wanted() {
    let world = world([Offer::Basic], |gate| gate).await;
    let value = format!("Basic {}", STANDARD.encode(format!("alice:{PASSWORD}")));
    let head =
        "POST http://origin.practice/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";
    let mut client = Client::connect(world.proxy.addr()).await;
    client.0.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let refused = client.head().await;
    assert_eq!((refused.status, refused.fields("connection")), (407, vec!["close"]));
    let mut client = Client::connect(world.proxy.addr()).await;
    client.0.write_all(format!("{head}Proxy-Authorization: {value}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(client.head().await.status, 100);
    client.0.write_all(b"12345").await.unwrap();
    assert_eq!(client.head().await.status, 200);
    assert_eq!(world.origin.record().requests()[0].body.bytes, 5);
}
