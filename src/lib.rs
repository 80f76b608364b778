//! hallpass: a local relay that does the 407 talk with a corporate proxy, for the programs that cannot.
//!
//! This page is the map. The rules on it are enforced by `tests/architecture.rs`.
//!
//! # Words
//!
//! A **client** connects to us and names a **target**, a host and port. We are the **proxy**; the corporate proxy
//! is the **upstream**. A **route** is the ordered list of **hops** to a target, each direct or through one
//! upstream, and the reason for it. To **dial** is TCP, and TLS where the upstream wants it, to a hop.
//!
//! The **handshake** is the CONNECT and 407 talk on one connection, in the words of RFC 9110 §11: the upstream
//! sends **challenges**, we send **credentials**, both in a **scheme** (Negotiate, NTLM, Digest, Basic). One
//! message of ours is a **leg**; all legs of one request at one upstream, over reconnections, are the **exchange**.
//!
//! A **tunnel** is the bytes after a CONNECT, a **forward** is a request in absolute form, and the **relay** is
//! the copying. A **profile** is a named set of upstreams and credentials, such as office and home. As in nginx
//! and HAProxy: **reload** takes a new configuration, **drain** is to take no new requests and let the old ones
//! end, **grace** is how long they may.
//!
//! # Floors
//!
//! A module imports lower floors only, never its own, so there are no circles and every line has one room. What
//! one module of a floor needs of another it is given by `daemon`, as a value or a trait object.
//!
//! | floor | it may |
//! |---|---|
//! | 6 `cli` | print, choose exit codes; the only place for `anyhow`, and `cli/output.rs` for stdout |
//! | 5 `daemon` | build everything from a configuration, own the tasks, reload, drain, stop |
//! | 4 `config` | read files, environment and flags into one valid configuration, all mistakes at once |
//! | 3 `proxy`, `practice` | speak HTTP to clients; `practice` is the other side, which demo and tests judge by |
//! | 2 `upstream`, `mechanism`, … | use sockets, files, the clock and the operating system |
//! | 1 `auth`, `http1`, `route`, `socks` | think: no socket, no file, no clock; `http1` reads any stream of bytes |
//! | 0 `address`, `secret` | be names and values |
//!
//! What differs between systems is a file (`linux.rs`, `macos.rs`, `windows.rs`, `unix.rs`, `other.rs`) that the
//! `mod.rs` beside it picks; `unsafe` stands nowhere else. What may block is a plain function, and floors 2 and up
//! run it where blocking is allowed.
//!
//! # State
//!
//! All that a request needs is one immutable [`proxy::Proxy`]; a reload puts a new one in its place and requests
//! under way keep theirs. All that changes is one [`upstream::Live`], which lives as long as the process. One
//! client is one task, its tunnel included, so that a drain knows when it is done.
//!
//! # Life of a CONNECT
//!
//! 1. [`listener`] accepts, and its task reads a head with [`http1`] and takes the present [`proxy::Proxy`].
//! 2. `proxy::connect` makes an [`address::Target`] of the authority and refuses ourselves and forbidden ports.
//! 3. [`route::Router`] gives the hops and the reason.
//! 4. [`upstream::Upstreams::tunnel`] dials the first hop; one that cannot be reached makes way for the next.
//! 5. It writes our CONNECT, with what is remembered of this upstream or bare, and reads the answer.
//! 6. A 407 goes to [`auth::Exchange`], which picks the strongest allowed scheme and asks [`mechanism`] for a leg;
//! 7. it says `Send` (same connection), `Reconnect` (a fresh one) or `Refuse` (with the cause). Once a secret was
//!    judged, nothing made from it is sent again: not here, not elsewhere.
//! 8. On a 2xx the client gets `200 Connection established` in one write. Any other final answer of the upstream
//!    goes to it as it is; a failure of ours becomes a status and a sentence in `proxy::respond`.
//! 9. Early bytes first, then [`relay`] moves bytes both ways until both sides have ended.
//! 10. One [`audit`] record says where to, by which hop, why, how much and how it ended.
//!
//! A client of a SOCKS listener joins at 2 and one of a tunnel port at 3: they differ in the greeting, by which a client
//! hears at 8 what became of its wish.
//!
//! A forward differs in the middle: [`upstream::Upstreams::lease`] gives a connection on which the request can be
//! sent, its legs done with a request that changes nothing, and takes the connection back for the next one.

// Floor 6: commands, printing, exit codes.
pub mod cli;

// Floor 5: the whole, built and taken down.
pub mod daemon;

// Floor 4: what the user wrote, made valid.
pub mod config;

// Floor 3: HTTP towards clients, and the corporate proxy to practise on.
pub mod practice;
pub mod proxy;

// Floor 2: records, secrets at rest, ways in, log-ons, this machine, bytes, names, its proxies, the log, ways out.
pub mod audit;
pub mod credential;
pub mod listener;
pub mod mechanism;
pub mod network;
pub mod process;
pub mod relay;
pub mod resolver;
pub mod state;
pub mod system_proxy;
pub mod trace;
pub mod upstream;

// Floor 1: the 407 exchange, messages as bytes, the choice of hops.
pub mod auth;
pub mod http1;
pub mod route;
pub mod socks;

// Floor 0: names of places, values that must not be seen.
pub mod address;
pub mod secret;
