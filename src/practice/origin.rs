//! The origin behind the corporate proxy: a page for each thing that a relay can get wrong.
//!
//! | path | answer |
//! |---|---|
//! | `/hello` | one line of text |
//! | `/echo` | the request's body, as it comes |
//! | `/digest` | JSON: length, sha256, headers, trailers and method of the request |
//! | `/sse?n=3&ms=200` | `n` events, `ms` apart, each with the time it was sent |
//! | `/big?bytes=1000000` | a stream of known bytes; with `&chunked=1` without a length |
//! | `/status/404` | that status |
//! | `/trailers` | a chunked body with a declared trailer |
//! | `/sleep?ms=500` | an answer after that time |
//! | `/ws` | a WebSocket that echoes |
//! | `/ntlm…` | demands NTLM of the client itself, by connection, and names who it is |

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

use super::body::{self, Body, Tapped};
use super::gate::{Gate, Offer, Passage, Proven};
use super::record::{Record, Seen};
use super::server::{self, HangUp, Tls};
use super::tasks::Tasks;
use super::{Accounts, origin_pages, origin_websocket};

#[derive(Default)]
pub struct OriginOptions {
    /// Who may see what lies under `/ntlm`.
    pub accounts: Accounts,
    pub tls: Option<Tls>,
}

/// A running origin; dropping it ends everything at once.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    gate: Gate,
    record: Record,
}

impl Origin {
    pub async fn start(options: OriginOptions) -> io::Result<Self> {
        let binding = options.tls.as_ref().and_then(|tls| tls.binding.clone());
        let gate = Gate::new([Offer::Ntlm], options.accounts, "ORIGIN").binding(binding);
        let shared = Arc::new(Shared { gate, record: Record::default() });
        let tasks = Tasks::new();
        let (origin, spawner) = (shared.clone(), tasks.clone());
        let tls = options.tls.map(|tls| tls.config);
        let address = server::start(tls, &tasks, &shared.record, move |number| {
            let client =
                Arc::new(Client { number, origin: origin.clone(), tasks: spawner.clone(), proven: Mutex::default() });
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

    pub fn stop(&self) {
        self.tasks.stop();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One connection; who it is of, `/ntlm` finds out.
struct Client {
    number: u64,
    origin: Arc<Shared>,
    tasks: Tasks,
    proven: Mutex<Proven>,
}

impl Client {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Body>, HangUp> {
        let record = &self.origin.record;
        let index = record.add(Seen::of(self.number, &request));
        let response = match self.gate(&request) {
            Passage::Closed(challenges) => self.refuse(request, challenges, index),
            Passage::HangUp => return Err(HangUp),
            Passage::Open(user) => {
                record.update(index, |seen| seen.user.clone_from(&user));
                self.page(request, user, index).await
            }
        };
        record.update(index, |seen| seen.status = Some(response.status().as_u16()));
        Ok(response)
    }

    fn gate(&self, request: &Request<Incoming>) -> Passage {
        if !request.uri().path().starts_with("/ntlm") {
            return Passage::Open(None);
        }
        let target = request.uri().to_string();
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = request.headers().get(AUTHORIZATION);
        self.origin.gate.check(&mut proven, &self.origin.record, (request.method().as_str(), &target), credentials)
    }

    fn refuse(&self, request: Request<Incoming>, challenges: Vec<HeaderValue>, index: usize) -> Response<Body> {
        self.swallow(self.tapped(request.into_body(), index));
        let mut response = Response::new(body::text("This origin wants to know who you are.\n"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        for challenge in challenges {
            response.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    async fn page(&self, mut request: Request<Incoming>, user: Option<String>, index: usize) -> Response<Body> {
        if request.uri().path() == "/ws" {
            return origin_websocket::accept(&mut request, &self.tasks);
        }
        let (head, incoming) = request.into_parts();
        let tapped = self.tapped(incoming, index);
        match head.uri.path() {
            "/echo" => return origin_pages::echo(&head, tapped),
            "/digest" => return origin_pages::digest(&head, tapped, &self.origin.record, index).await,
            _ => self.swallow(tapped),
        }
        match user {
            Some(user) => Response::new(body::text(format!("you are {user}\n"))),
            None => origin_pages::plain(&head).await,
        }
    }

    fn tapped(&self, incoming: Incoming, index: usize) -> Tapped {
        Tapped::new(incoming, self.origin.record.clone(), index)
    }

    /// A body that no page wants is read all the same, so that the record has it and the connection lives on.
    fn swallow(&self, mut body: Tapped) {
        if !body.is_end_stream() {
            self.tasks.spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        }
    }
}
