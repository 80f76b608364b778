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
//! the copying. As in nginx and HAProxy: **reload** takes a new configuration, **drain** is to take no new requests
//! and let the old ones end, **grace** is how long they may.
//!
//! The **place** is the network where the machine is. A **profile** says what holds in one place: upstreams or a PAC
//! script, rules and exceptions. A **look** finds out the place and what follows from it; a **doubt** is a request's
//! or a hop's wish for one. A **course** is one attempt of a request: a route, and the snapshot it came from. The
//! **kept copy** is the last text of a PAC script that worked, on disk. A hop that could not be reached is **dead**
//! until a **probe** has reached it.
//!
//! # Floors
//!
//! A module imports lower floors only, never its own, so there are no circles and every line has one room. What
//! one module of a floor needs of another it is given by `daemon`, as a value or a trait object.
//!
//! | floor | it may |
//! |---|---|
//! | 6 `cli` | print, choose exit codes; the only place for `anyhow`, and `cli/output.rs` for stdout |
//! | 5 `daemon`, `doctor` | build everything from a configuration, own the tasks, reload, drain, stop; look for faults |
//! | 4 `config` | read files, environment and flags into one valid configuration, all mistakes at once |
//! | 3 `proxy`, `practice`, `service` | speak HTTP to clients; `practice` is the other side, which demo and tests judge by; `service` has the machine run us |
//! | 2 `upstream`, `mechanism`, `network`, `system_proxy`, `state`, … | use sockets, files, the clock and the system |
//! | 1 `auth`, `http1`, `route`, `socks` | think: no socket, no file, no clock; `http1` reads any stream of bytes |
//! | 0 `address`, `owner`, `secret`, `shortage` | be names and values |
//!
//! What differs between systems is a file (`linux.rs`, `macos.rs`, `windows.rs`, `unix.rs`, `other.rs`) that the
//! `mod.rs` beside it picks; `unsafe` stands nowhere else. What may block is a plain function, and floors 2 and up
//! run it where blocking is allowed.
//!
//! # State
//!
//! All that a request needs is one immutable [`proxy::Proxy`]; a reload or a look puts a new one in its place, and
//! requests under way keep theirs. `daemon::core` makes it of the configuration and of what was last found out about
//! the place. What changes beneath is one [`upstream::Live`] (connections idle or dialled ahead, what upstreams
//! want and forbid, dead hops, the addresses of tunnels, how log-ons went), which lives as long as the process, and what a script in use remembers
//! ([`route::pac`]). So does the [`proxy::Tally`]: what was asked for and how it ended, the open tunnels, the last failures.
//! On disk there are, by [`state`], the kept copies, the user's own port and the record of [`upstream::lockout`], which
//! outlives the process because a directory's count of wrong passwords does. One client is one task, its tunnel included,
//! so that a drain knows when it is done; `daemon::roaming` is one more, and the only one that looks.
//!
//! # Life of a CONNECT
//!
//! 1. [`listener`] accepts, [`process::Owners`] says whose the client is and [`proxy::Door`] whether it may come in; its
//!    task reads a head with [`http1`] and takes the present [`proxy::Proxy`].
//! 2. `proxy::connect` makes an [`address::Target`] of the authority and refuses ourselves and forbidden ports.
//! 3. [`route::Router`] gives the hops and the reason: at once where it can, else on a thread that may block, because a
//!    script runs, a rule asks DNS or for the program.
//! 4. [`upstream::Upstreams::tunnel`] dials the first hop, or takes what was dialled ahead; one that cannot be reached makes way for
//!    the next. Dead hops come last. If none is reached, the request raises a doubt and takes another course if the look shows one.
//! 5. It writes our CONNECT, with what is remembered of this upstream or bare, and reads the answer.
//! 6. A 407 goes to [`auth::Exchange`], which picks the strongest allowed scheme and asks [`mechanism`] for a leg;
//! 7. it says `Send` (same connection), `Reconnect` (a fresh one), `Wait` (for leave of [`upstream::lockout`] to show a
//!    secret) or `Refuse` (with the cause). Once a secret was found bad, nothing made from it is sent again: not here,
//!    not elsewhere.
//! 8. On a 2xx the client gets `200 Connection established` in one write. Any other final answer of the upstream
//!    goes to it as it is; a failure of ours becomes a status and a sentence in `proxy::respond`, by [`proxy::faults`].
//! 9. Early bytes first, then [`relay`] moves bytes both ways until both sides have ended.
//! 10. One [`audit`] record says where to, by which hop, why, how much and how it ended.
//!
//! A client of a SOCKS listener joins at 2 and one of a tunnel port at 3: they differ in the greeting, by which a client
//! hears at 8 what became of its wish.
//!
//! A forward differs in the middle: [`upstream::Upstreams::lease`] gives a connection on which the request can be
//! sent, its legs done with a request that changes nothing, and takes the connection back for the next one.
//!
//! # Life of a change of place
//!
//! 1. [`network::Watch`] reports another network or a sleep; a doubt, a refresh, a reload or another script file are
//!    further causes. `daemon::roaming` waits for a burst of reports to end.
//! 2. [`upstream::Live::leave`] drops what was true elsewhere: idle connections, marks of dead hops. Whoever still
//!    dials by the old way is sent back to step 3 of its CONNECT. Tunnels stay, those aside whose own address is gone.
//! 3. The look: `daemon::place` gathers the facts that profiles ask for and [`route::profile`] chooses; where nothing is
//!    configured, [`system_proxy`] says what the system says.
//! 4. `daemon::script` asks the script's server. If nobody is there, whether a hop of the kept copy answers tells
//!    whether this is still the network the script was made for, and `direct_fallback` what follows.
//! 5. `daemon::core` publishes the next [`proxy::Proxy`]; requests that waited for the look go by it. While
//!    something is not as it should be, the next look comes within a minute.

// Floor 6: commands, printing, exit codes.
pub mod cli;

// Floor 5: the whole, built and taken down; what is wrong with the way out.
pub mod daemon;
pub mod doctor;

// Floor 4: what the user wrote, made valid.
pub mod config;

// Floor 3: HTTP towards clients, the corporate proxy to practise on, how the machine runs us.
pub mod practice;
pub mod proxy;
pub mod service;

// Floor 2: records, secrets at rest, ways in, log-ons, where this machine is, other programs, bytes, names, where lines go,
// what is kept, the system's proxies, how other programs are told, the log, ways out.
pub mod audit;
pub mod credential;
pub mod listener;
pub mod mechanism;
pub mod network;
pub mod process;
pub mod relay;
pub mod resolver;
pub mod sink;
pub mod state;
pub mod system_proxy;
pub mod tools;
pub mod trace;
pub mod upstream;

// Floor 1: the 407 exchange, messages as bytes, the choice of hops.
pub mod auth;
pub mod http1;
pub mod route;
pub mod socks;

// Floor 0: names of places and users, values that must not be seen, errors that are our own.
pub mod address;
pub mod owner;
pub mod secret;
pub mod shortage;
