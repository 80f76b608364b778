//! The ways in: which sockets are bound, what is spoken on each, and who may come by it.
//!
//! A reload binds what is new first, keeps what stays, and closes what is gone; clients stay in all cases.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::address::is_local_ip;
use crate::config::{self, Allow, Config, auto_port};
use crate::credential::{SecretError, Source};
use crate::listener::{BindError, Device, Inherited, Listener};
use crate::network::{self, Link};
use crate::process::{OwnerError, Owners, account};
use crate::proxy::{self, Door, Shared, Way};
use crate::secret::Secret;

#[derive(Debug, Error)]
pub enum WaysError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(
        "a socket at {addr} was handed over, where others could use the proxy in your name: let it listen on 127.0.0.1, or say \
         who may come with allow in [access]"
    )]
    Stray { addr: SocketAddr },
    #[error("the token of {whose} cannot be read")]
    Token {
        whose: String,
        #[source]
        source: SecretError,
    },
}

/// Where we listen at the moment, for all who must not connect to ourselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Listening(Arc<RwLock<Vec<SocketAddr>>>);

impl Listening {
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, addrs: Vec<SocketAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addrs;
    }

    pub fn is_own(&self, addr: &SocketAddr) -> bool {
        let own = self.0.read().unwrap_or_else(PoisonError::into_inner);
        own.iter().any(|own| proxy::leads_to(addr, own))
    }
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    addr: SocketAddr,
    device: Option<Device>,
}

/// Addresses for one and the same thing.
struct Group {
    places: Vec<Place>,
    door: Arc<Door>,
}

/// What a configuration wants, with its secrets: all that is needed when an interface comes.
#[derive(Clone)]
pub(super) struct Plan {
    config: Arc<Config>,
    token: Option<Secret>,
    /// Of each listener.
    tokens: Vec<Option<Secret>>,
}

impl Plan {
    /// Reads secrets: may block.
    pub fn new(config: &Config) -> Result<Self, WaysError> {
        let read = |source: &Option<Source>, whose: &str| {
            let read = source.as_ref().map(Source::read).transpose();
            read.map_err(|source| WaysError::Token { whose: whose.into(), source })
        };
        let of_listener = |(at, one): (usize, &config::Listener)| read(&one.token, &format!("listener {}", at + 1));
        Ok(Self {
            token: read(&config.access.token, "[access]")?,
            tokens: config.listeners.iter().enumerate().map(of_listener).collect::<Result<_, _>>()?,
            config: Arc::new(config.clone()),
        })
    }

    fn at_port(mut self, port: u16) -> Self {
        let mut config = Config::clone(&self.config);
        config.listen.iter_mut().for_each(|addr| addr.set_port(port));
        self.config = Arc::new(config);
        self
    }

    fn awaits_interfaces(&self) -> bool {
        self.config.listeners.iter().any(|one| !one.is_loopback())
    }

    /// By the interfaces there are now, the main way first. One that has no address is waited for.
    fn groups(&self, links: &[Link], given: &Given) -> Vec<Group> {
        let config = &self.config;
        let door = |way, networks: Vec<IpNet>, interface: Option<String>, token: Option<Secret>| {
            let users = config.access.users.owners.as_deref().map(Into::into);
            let metrics = config.access.metrics.clone();
            Arc::new(Door { way, users, networks, interface, token, metrics, owners: given.owners.clone() })
        };
        let allow = || config.access.allow.clone();
        let mut groups =
            vec![Group { places: places(&config.listen), door: door(Way::Http, allow(), None, self.token.clone()) }];
        for (one, token) in config.listeners.iter().zip(&self.tokens) {
            let way = if one.socks5 { Way::Socks } else { Way::Http };
            groups.push(match one.is_loopback() {
                true => Group { places: places(&one.addrs()), door: door(way, Vec::new(), None, token.clone()) },
                false => {
                    let link = links.iter().find(|link| link.name == one.interface);
                    let places = link.map(|link| on_interface(link, one.port)).unwrap_or_default();
                    let subnets = || link.map(|link| link.addresses.iter().map(IpNet::trunc).collect());
                    let networks = match &one.allow {
                        Allow::InterfaceSubnet => subnets().unwrap_or_default(),
                        Allow::Networks(networks) => networks.clone(),
                    };
                    Group { places, door: door(way, networks, Some(one.interface.clone()), token.clone()) }
                }
            });
        }
        for tunnel in &config.tunnels {
            let way = Way::Tunnel(tunnel.target.clone());
            groups.push(Group { places: places(&tunnel.listen), door: door(way, allow(), None, None) });
        }
        let strays = given.strays(&groups);
        groups[0].places.extend(places(&strays));
        groups
    }
}

fn places(addrs: &[SocketAddr]) -> Vec<Place> {
    addrs.iter().map(|addr| Place { addr: *addr, device: None }).collect()
}

/// Link-local addresses mean nothing without their link, and nobody writes them into a proxy's URL.
fn on_interface(link: &Link, port: u16) -> Vec<Place> {
    let device = Device { name: link.name.clone(), index: link.index };
    let addresses = link.addresses.iter().map(IpNet::addr).filter(|ip| !is_local_ip(*ip));
    addresses.map(|ip| Place { addr: (ip, port).into(), device: Some(device.clone()) }).collect()
}

type WhoOwns = Result<Arc<Owners>, Arc<OwnerError>>;

/// What the system has given us for as long as we live.
#[derive(Clone)]
struct Given {
    owners: WhoOwns,
    inherited: Arc<Inherited>,
}

impl Given {
    /// Sockets that were handed over and that nothing else is configured for. Whoever had the system listen there wants
    /// the relay there: the system goes on listening in any case, and clients that nobody accepts would wait for nothing.
    fn strays(&self, groups: &[Group]) -> Vec<SocketAddr> {
        let is_wanted =
            |addr: &SocketAddr| groups.iter().flat_map(|group| &group.places).any(|place| place.addr == *addr);
        self.inherited.addrs().into_iter().filter(|addr| !is_wanted(addr)).collect()
    }

    fn listener(&self, place: &Place) -> Result<Listener, BindError> {
        let handed = self.inherited.listener(place.addr).filter(|_| place.device.is_none());
        match handed {
            Some(listener) => listener.map_err(|source| BindError { addr: place.addr, source }),
            None => Listener::bind(place.addr, place.device.as_ref()),
        }
    }
}

/// The sockets that are open, each served by a task of its own.
pub(super) struct Ways {
    plan: Plan,
    given: Given,
    open: Vec<Open>,
    /// Of sockets that were closed, as long as they have clients.
    closed: JoinSet<()>,
    /// Of interfaces, where binding has failed and people were told of it.
    failed: Vec<Place>,
    /// Nothing is bound any more.
    ending: bool,
    shared: Shared,
    listening: Listening,
}

struct Open {
    place: Place,
    addr: SocketAddr,
    group: usize,
    door: watch::Sender<Arc<Door>>,
    /// Dropped to close it.
    stop: watch::Sender<bool>,
    serving: JoinHandle<JoinSet<()>>,
}

/// All that can fail has been done.
pub(super) struct Change {
    plan: Plan,
    steps: Vec<Step>,
    /// A port of the user's own that was found for it.
    own_port: Option<u16>,
}

struct Step {
    group: usize,
    door: Arc<Door>,
    place: Place,
    socket: Socket,
}

enum Socket {
    /// The place in the list of the open ones.
    Kept(usize),
    New(Listener),
}

/// Asks the system once whether it tells whose a connection is.
pub(super) fn who_owns() -> WhoOwns {
    Owners::open().map(Arc::new).map_err(Arc::new)
}

/// Where the port is the user's own and taken by another one, the next free one stands in for it.
fn prepare_anywhere(plan: Plan, given: &Given, open: &[Open]) -> Result<Change, WaysError> {
    let config = plan.config.clone();
    let Some(wanted) = config.listen.first().map(SocketAddr::port).filter(|_| config.listen_auto) else {
        return prepare(plan, given, open);
    };
    let mut last = None;
    for port in auto_port::candidates(wanted) {
        let there = plan.clone().at_port(port);
        let addrs = there.config.listen.clone();
        match prepare(there, given, open) {
            Err(WaysError::Bind(error)) if addrs.contains(&error.addr) && is_anothers(&error, &given.owners) => {
                tracing::info!("port {port} is in use by another user");
                last = Some(error);
            }
            Err(error) => return Err(error),
            Ok(change) => return Ok(Change { own_port: Some(port), ..change }),
        }
    }
    last.map_or_else(|| prepare(plan, given, open), |error| Err(error.into()))
}

/// A relay of the same user is no reason to start another one beside it.
fn is_anothers(error: &BindError, owners: &WhoOwns) -> bool {
    let in_use = error.source.kind() == io::ErrorKind::AddrInUse;
    let holder = || owners.as_ref().ok().and_then(|owners| owners.of_listener(error.addr).ok());
    in_use && holder() != account::own()
}

/// Interfaces that are not there are waited for.
fn prepare(plan: Plan, given: &Given, open: &[Open]) -> Result<Change, WaysError> {
    let links = if plan.awaits_interfaces() { network::links() } else { Vec::new() };
    let groups = plan.groups(&links, given);
    let stray = given.strays(&plan.groups(&links, &Given { inherited: Arc::default(), ..given.clone() }));
    if let Some(addr) = stray
        .into_iter()
        .find(|addr| !addr.ip().to_canonical().is_loopback())
        .filter(|_| plan.config.access.allow.is_empty())
    {
        return Err(WaysError::Stray { addr });
    }
    let mut steps = keep(&groups, open);
    for (at, group) in groups.iter().enumerate() {
        bind_missing(at, group, given, &mut steps)?;
        if let Some(interface) = group.door.interface.as_ref().filter(|_| group.places.is_empty()) {
            tracing::info!("{interface} has no address yet: it is listened on as soon as it has one");
        }
    }
    Ok(Change { plan, steps, own_port: None })
}

/// What is open already and wanted further.
fn keep(groups: &[Group], open: &[Open]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut kept = vec![false; open.len()];
    // Those that stay with what they are for come first: ports of the kernel's choice are all asked for alike.
    for (same_way, group_at, group) in
        [true, false].into_iter().flat_map(|same| groups.iter().enumerate().map(move |(at, group)| (same, at, group)))
    {
        for place in &group.places {
            let is_done = |step: &Step| step.group == group_at && step.place == *place;
            if place.addr.port() != 0 && steps.iter().any(is_done) {
                continue;
            }
            let fits = |at: &usize| {
                let one: &Open = &open[*at];
                let way_fits = if same_way { one.door.borrow().way == group.door.way } else { place.addr.port() != 0 };
                !kept[*at] && one.place == *place && way_fits
            };
            if let Some(at) = (0..open.len()).find(fits) {
                kept[at] = true;
                let (place, door) = (place.clone(), group.door.clone());
                steps.push(Step { group: group_at, door, place, socket: Socket::Kept(at) });
            }
        }
    }
    steps
}

/// A machine without IPv6 (or IPv4) serves on the family it has.
fn bind_missing(at: usize, group: &Group, given: &Given, steps: &mut Vec<Step>) -> Result<(), WaysError> {
    let mut missing = None;
    for place in left(at, group, steps) {
        match given.listener(place) {
            Ok(listener) => steps.push(bound(at, group, place, listener)),
            // It went, or its address is still being tried out; whoever follows interfaces comes back to it.
            Err(error) if place.device.is_some() && error.is_absence() => {}
            Err(error) if error.is_missing_family() => {
                tracing::info!(addr = %place.addr, error = %error.source, "address family not available");
                missing = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match missing {
        Some(error) if !steps.iter().any(|step| step.group == at) => Err(error.into()),
        Some(_) | None => Ok(()),
    }
}

/// Of a group's places, those that nothing has been done for.
fn left<'a>(at: usize, group: &'a Group, steps: &[Step]) -> Vec<&'a Place> {
    let mut left: Vec<&Place> = group.places.iter().collect();
    for step in steps.iter().filter(|step| step.group == at) {
        if let Some(found) = left.iter().position(|place| **place == step.place) {
            left.remove(found);
        }
    }
    left
}

fn bound(group_at: usize, group: &Group, place: &Place, listener: Listener) -> Step {
    Step { group: group_at, door: group.door.clone(), place: place.clone(), socket: Socket::New(listener) }
}

/// Bound and not yet served.
pub(super) struct Bound {
    change: Change,
    given: Given,
}

impl Bound {
    /// All or none, but for interfaces that are not there yet.
    pub fn new(config: &Config, inherited: Inherited) -> Result<Self, WaysError> {
        let owners = who_owns();
        if let (Err(cause), Some(_)) = (&owners, &config.access.users.owners) {
            tracing::warn!("whose a connection is cannot be told here: {}", proxy::chain(&**cause));
            tracing::warn!("so all clients of this machine are refused; users = \"any\" in [access] serves them");
        }
        let given = Given { owners, inherited: Arc::new(inherited) };
        let change = prepare_anywhere(Plan::new(config)?, &given, &[])?;
        Ok(Self { change, given })
    }

    pub fn addrs(&self) -> Vec<SocketAddr> {
        let addr = |step: &Step| if let Socket::New(listener) = &step.socket { Some(listener.addr()) } else { None };
        self.change.steps.iter().filter_map(addr).collect()
    }

    /// From now on clients are served.
    pub fn serve(self, shared: Shared, listening: Listening) -> Ways {
        let Self { change, given } = self;
        let plan = Plan { config: change.plan.config.clone(), token: None, tokens: Vec::new() };
        let mut ways = Ways {
            plan,
            given,
            open: Vec::new(),
            closed: JoinSet::new(),
            failed: Vec::new(),
            ending: false,
            shared,
            listening,
        };
        ways.commit(change);
        ways
    }
}

impl Ways {
    /// Binds what is new. Nothing has changed yet, and nothing can go wrong any more.
    pub fn prepare(&self, mut plan: Plan) -> Result<Change, WaysError> {
        // The port that was found stays, also where it could not be written down.
        if plan.config.listen_auto && self.plan.config.listen_auto {
            plan = plan.at_port(self.plan.config.listen.first().map_or(0, SocketAddr::port));
        }
        prepare_anywhere(plan, &self.given, &self.open)
    }

    pub fn awaits_interfaces(&self) -> bool {
        self.plan.awaits_interfaces()
    }

    /// Binds to interfaces that have come, leaves those that have gone. Whether another address is listened on now.
    pub fn follow_interfaces(&mut self) -> bool {
        if self.ending {
            return false;
        }
        let links = network::links();
        let groups = self.plan.groups(&links, &self.given);
        let mut steps = keep(&groups, &self.open);
        let mut failed = Vec::new();
        for (at, group) in groups.iter().enumerate().filter(|(_, group)| group.door.interface.is_some()) {
            for place in left(at, group, &steps) {
                match Listener::bind(place.addr, place.device.as_ref()) {
                    Ok(listener) => {
                        let interface = place.device.as_ref().map_or("", |device| &device.name);
                        tracing::info!("listening on {} ({interface})", listener.addr());
                        steps.push(bound(at, group, place, listener));
                    }
                    Err(error) if error.is_absence() || self.failed.contains(place) => failed.push(place.clone()),
                    Err(error) => {
                        tracing::error!("{}; it is tried again", proxy::chain(&error));
                        failed.push(place.clone());
                    }
                }
            }
        }
        self.failed = failed;
        let plan = self.plan.clone();
        self.commit(Change { plan, steps, own_port: None })
    }

    /// Whether another address is listened on now.
    pub fn commit(&mut self, change: Change) -> bool {
        let before = self.listening.addrs();
        let Change { plan, steps, own_port } = change;
        if let (Some(directory), Some(port)) = (&plan.config.state_directory, own_port)
            && let Err(error) = auto_port::record(directory, port)
        {
            tracing::warn!(%error, "cannot write down port {port}: other commands will not find it");
        }
        self.shared.places.set_most(plan.config.max_clients);
        self.plan = plan;
        let mut old: Vec<Option<Open>> = std::mem::take(&mut self.open).into_iter().map(Some).collect();
        for Step { group, door, place, socket } in steps {
            let open = match socket {
                Socket::New(listener) => Some(self.start(listener, place, group, door)),
                Socket::Kept(at) => old.get_mut(at).and_then(Option::take).map(|open| {
                    open.door.send_replace(door);
                    Open { group, ..open }
                }),
            };
            self.open.extend(open);
        }
        self.open.sort_by_key(|open| open.group);
        for gone in old.into_iter().flatten() {
            self.close(gone);
        }
        let now: Vec<SocketAddr> = self.open.iter().map(|open| open.addr).collect();
        let changed = before != now;
        self.listening.set(now);
        changed
    }

    fn start(&self, listener: Listener, place: Place, group: usize, door: Arc<Door>) -> Open {
        let addr = listener.addr();
        let (door, doors) = watch::channel(door);
        let (stop, stopped) = watch::channel(false);
        let shared = self.shared.clone();
        let serve = move |client| proxy::serve(client, doors.clone(), shared.clone());
        let serving = tokio::spawn(listener.run(self.shared.room.clone(), stopped, serve));
        Open { place, addr, group, door, stop, serving }
    }

    fn close(&mut self, open: Open) {
        let Open { stop, serving, place, addr, .. } = open;
        if let Some(device) = place.device {
            tracing::info!("no longer listening on {addr} ({})", device.name);
        }
        drop(stop);
        while self.closed.try_join_next().is_some() {}
        self.closed.spawn(async move {
            if let Ok(mut clients) = serving.await {
                while clients.join_next().await.is_some() {}
            }
        });
    }

    /// No socket is left by the task that was to serve it.
    pub fn are_all_served(&self) -> bool {
        self.open.iter().all(|open| !open.serving.is_finished())
    }

    /// Every way in and its addresses, the main one first.
    pub fn addrs(&self) -> Vec<(Way, Vec<SocketAddr>)> {
        let mut ways: Vec<(usize, Way, Vec<SocketAddr>)> = Vec::new();
        for open in &self.open {
            match ways.iter_mut().find(|(group, ..)| *group == open.group) {
                Some((_, _, addrs)) => addrs.push(open.addr),
                None => ways.push((open.group, open.door.borrow().way.clone(), vec![open.addr])),
            }
        }
        ways.into_iter().map(|(_, way, addrs)| (way, addrs)).collect()
    }

    /// Tells all sockets to close.
    pub fn close_all(&mut self) -> Closing {
        self.ending = true;
        let open = std::mem::take(&mut self.open).into_iter();
        let serving = open.map(|open| {
            open.stop.send_replace(true);
            open.serving
        });
        Closing { serving: serving.collect(), closed: std::mem::take(&mut self.closed) }
    }
}

/// Sockets that are about to be closed, and the clients of all.
pub(super) struct Closing {
    serving: Vec<JoinHandle<JoinSet<()>>>,
    closed: JoinSet<()>,
}

impl Closing {
    /// Those that are still served once all sockets are closed.
    pub async fn clients(mut self) -> JoinSet<()> {
        for serving in self.serving {
            let Ok(mut rest) = serving.await else { continue };
            // A JoinSet cannot swallow another one: each of these waits for its own.
            self.closed.spawn(async move { while rest.join_next().await.is_some() {} });
        }
        self.closed
    }
}
