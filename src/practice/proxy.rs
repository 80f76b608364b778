//! The corporate proxy: lets through whom its gate knows, refuses some hosts, tunnels and forwards.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpStream;

use super::body::{self, Body, Tapped};
use super::forward::{self, Origins};
use super::gate::{Gate, Passage, Proven};
use super::names::{self, Names};
use super::record::{Record, Seen};
use super::server::{self, HangUp, Tls};
use super::tasks::Tasks;
use super::tunnel;
use crate::address::Target;

const DEFAULT_PORT: u16 = 80;
/// On every answer that is the proxy's own and no challenge: `denied`, `unreachable` or `bad-request`.
const ERROR: HeaderName = HeaderName::from_static("x-practice-error");

#[derive(Default)]
pub struct ProxyOptions {
    pub gate: Gate,
    pub names: Names,
    /// Hosts (or `*.suffix`) that are answered with a 403 page.
    pub denied: Vec<String>,
    pub tls: Option<Tls>,
    /// Close the connection with a 407 to a request without credentials, as some proxies do.
    pub close_bare_refusals: bool,
}

/// A running proxy; dropping it ends everything at once.
pub struct CorporateProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    options: ProxyOptions,
    record: Record,
}

impl CorporateProxy {
    pub async fn start(mut options: ProxyOptions) -> io::Result<Self> {
        if let Some(binding) = options.tls.as_ref().and_then(|tls| tls.binding.clone()) {
            options.gate = options.gate.binding(Some(binding));
        }
        let tls = options.tls.as_ref().map(|tls| tls.config.clone());
        let shared = Arc::new(Shared { options, record: Record::default() });
        let tasks = Tasks::new();
        let (proxy, spawner) = (shared.clone(), tasks.clone());
        let address = server::start(tls, &tasks, &shared.record, move |number| {
            let client = Arc::new(Client {
                number,
                proxy: proxy.clone(),
                tasks: spawner.clone(),
                proven: Mutex::default(),
                origins: Origins::default(),
            });
            service_fn(move |request| {
                let client = client.clone();
                async move { client.serve(request).await }
            })
        })
        .await?;
        Ok(Self { address, shared, tasks })
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    pub fn record(&self) -> &Record {
        &self.shared.record
    }

    /// With `false`, everybody passes from now on; with `true`, the gate counts again.
    pub fn demand(&self, demand: bool) {
        self.shared.options.gate.demand(demand);
    }

    /// The next proofs of a password are judged, counted and not answered.
    pub fn hang_up(&self, proofs: u32) {
        self.shared.options.gate.hang_up(proofs);
    }

    pub fn stop(&self) {
        self.tasks.stop();
    }
}

impl Drop for CorporateProxy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One client connection.
struct Client {
    number: u64,
    proxy: Arc<Shared>,
    tasks: Tasks,
    proven: Mutex<Proven>,
    origins: Origins,
}

impl Client {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Body>, HangUp> {
        let index = self.proxy.record.add(Seen::of(self.number, &request));
        let response = match self.gate(&request) {
            Passage::Closed(challenges) => self.refuse(request, challenges, index),
            Passage::HangUp => return Err(HangUp),
            Passage::Open(user) => {
                self.proxy.record.update(index, |seen| seen.user = user);
                self.pass(request, index).await
            }
        };
        self.proxy.record.update(index, |seen| seen.status = Some(response.status().as_u16()));
        Ok(response)
    }

    fn gate(&self, request: &Request<Incoming>) -> Passage {
        let target = request.uri().to_string();
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = request.headers().get(PROXY_AUTHORIZATION);
        self.proxy.options.gate.check(
            &mut proven,
            &self.proxy.record,
            (request.method().as_str(), &target),
            credentials,
        )
    }

    fn refuse(&self, request: Request<Incoming>, challenges: Vec<HeaderValue>, index: usize) -> Response<Body> {
        let bare = !request.headers().contains_key(PROXY_AUTHORIZATION);
        let unasked_body = request.headers().contains_key(EXPECT);
        let page = "This proxy wants to know who you are.\n";
        let mut response = own_page(StatusCode::PROXY_AUTHENTICATION_REQUIRED, page);
        for challenge in challenges {
            response.headers_mut().append(PROXY_AUTHENTICATE, challenge);
        }
        // A body nobody asked for may still come or not: only a new connection is clear about it.
        if unasked_body || (bare && self.proxy.options.close_bare_refusals) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if !unasked_body {
            self.swallow(request, index);
        }
        response
    }

    /// The rest of a refused body is read, so that the connection and its handshake live on.
    fn swallow(&self, request: Request<Incoming>, index: usize) {
        let mut body = Tapped::new(request.into_body(), self.proxy.record.clone(), index);
        if !body.is_end_stream() {
            self.tasks.spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        }
    }

    async fn pass(&self, request: Request<Incoming>, index: usize) -> Response<Body> {
        let Some(target) = target_of(&request) else {
            return error(StatusCode::BAD_REQUEST, "bad-request", "The target is not one a proxy can reach.\n");
        };
        let host = target.host.to_string();
        if self.proxy.options.denied.iter().any(|pattern| names::matches(pattern, &host)) {
            self.swallow(request, index);
            return error(StatusCode::FORBIDDEN, "denied", &format!("{host} is not allowed here.\n"));
        }
        let Some(address) = self.proxy.options.names.find(&target) else {
            self.swallow(request, index);
            return error(StatusCode::BAD_GATEWAY, "unreachable", &format!("There is no host {host} here.\n"));
        };
        if request.method() == Method::CONNECT {
            return self.tunnel(request, address).await;
        }
        let record = self.proxy.record.clone();
        let request = request.map(|body| Tapped::new(body, record, index).boxed_unsync());
        forward::forward(&self.origins, &self.tasks, &self.proxy.record, address, &target, request)
            .await
            .unwrap_or_else(|cause| error(StatusCode::BAD_GATEWAY, "unreachable", &format!("{target}: {cause}\n")))
    }

    async fn tunnel(&self, request: Request<Incoming>, address: SocketAddr) -> Response<Body> {
        match TcpStream::connect(address).await {
            Err(cause) => error(StatusCode::BAD_GATEWAY, "unreachable", &format!("{address}: {cause}\n")),
            Ok(origin) => {
                let _ = origin.set_nodelay(true);
                self.tasks.spawn(tunnel::run(hyper::upgrade::on(request), origin, self.proxy.record.tunnel()));
                Response::new(body::empty())
            }
        }
    }
}

/// `host:port` of a CONNECT, or the authority of an `http://` URI.
fn target_of(request: &Request<Incoming>) -> Option<Target> {
    let authority = request.uri().authority()?.as_str();
    if request.method() == Method::CONNECT {
        return Target::parse(authority, None).ok();
    }
    (request.uri().scheme_str() == Some("http")).then(|| Target::parse(authority, Some(DEFAULT_PORT)).ok())?
}

fn own_page(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(body::text(text.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn error(status: StatusCode, kind: &'static str, text: &str) -> Response<Body> {
    let mut response = own_page(status, text);
    response.headers_mut().insert(ERROR, HeaderValue::from_static(kind));
    response
}
