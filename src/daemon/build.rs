//! A valid configuration → everything a request needs.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::StartError;
use super::record::domain_of;
use super::script::Terms;
use super::script_host::ScriptHost;
use super::situation::Situation;
use super::ways::Listening;
use crate::address::Endpoint;
use crate::audit::Audit;
use crate::auth::Scheme;
use crate::config::{self, Config, ConnectPort80, Credential};
use crate::credential::Source;
use crate::mechanism::{Account, Canonicalize, Grant, Identities, Outside, ReadSecret, Recipient, Settings, Version};
use crate::proxy::{Proxy, Standing, Tally, is_this_machine};
use crate::relay;
use crate::resolver;
use crate::route::pac::Limits;
use crate::route::{PacState, Router};
use crate::state::State;
use crate::upstream::fetch::Fetcher;
use crate::upstream::{Addresses, Dialer, Live, OwnAddress, Resolve, Tls, TlsOptions, Unlisted, Upstream, Upstreams};

/// Which upstream, with which credential, was seen first when: what was learnt of another one is not true of it.
#[derive(Clone, Default)]
pub(super) struct Generations {
    seen: Vec<Seen>,
}

#[derive(Clone, PartialEq)]
enum Seen {
    Upstream(Box<config::Upstream>),
    /// The credentials that upstreams named elsewhere may receive, and those whom the system names.
    Unlisted(Vec<Arc<Credential>>, Vec<Endpoint>),
}

impl Generations {
    fn of(&mut self, wanted: Seen) -> u64 {
        let known = self.seen.iter().position(|seen| *seen == wanted);
        let at = known.unwrap_or_else(|| {
            self.seen.push(wanted);
            self.seen.len() - 1
        });
        at as u64 + 1
    }
}

/// Decisions that may block, at a time. More than scripts are evaluated at once, far fewer than there are threads.
const MAX_DECISIONS: usize = 64;

/// Tells this relay from every other one in `Via`.
pub(super) fn pseudonym() -> Arc<str> {
    let mut bytes = [0; 4];
    // Without randomness the pid still differs from that of any neighbour.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = std::process::id().to_be_bytes();
    }
    format!("hallpass-{:08x}", u32::from_be_bytes(bytes)).into()
}

/// What stays the same for as long as the process lives.
pub(super) struct Fixed {
    pub listen: Listening,
    pub live: Arc<Live>,
    pub audit: Audit,
    pub pseudonym: Arc<str>,
    pub tally: Arc<Tally>,
}

/// What a configuration alone makes: it outlives every change of place, with its tickets and what it knows.
pub(super) struct Parts {
    pub generations: Generations,
    upstreams: Arc<Upstreams>,
    for_outsiders: Arc<Upstreams>,
    dialer: Dialer,
    fetcher: Arc<Fetcher>,
    decisions: Arc<Semaphore>,
}

impl Parts {
    /// `found` are the upstreams that the system names, which count as named by the user.
    pub fn new(
        config: &Config,
        fixed: &Fixed,
        mut generations: Generations,
        found: &[Endpoint],
    ) -> Result<Self, StartError> {
        let listed = config.upstreams.iter().map(|one| upstream(one, &mut generations).map(Arc::new));
        let list = listed.collect::<Result<Vec<_>, _>>()?;
        let unlisted = generations.of(Seen::Unlisted(for_unlisted(config).cloned().collect(), found.to_vec()));
        fixed.live.lockout().allow_at_a_time(config.max_logons);
        fixed.live.open_log_ins_ahead(config.warm_handshakes > 0);
        let dialer = Dialer {
            resolver: Arc::new(SystemResolver),
            connect_timeout: config.connect_timeout,
            keepalive: config.keepalive,
            own: own_address(&fixed.listen),
        };
        let mechanisms = Arc::new(identities(config, found));
        let upstreams = |forbids: fn(IpAddr) -> bool, direct_generation| Upstreams {
            list: Vec::clone(&list),
            unlisted: Unlisted::new(unlisted),
            mechanisms: mechanisms.clone(),
            dialer: dialer.clone(),
            forbids,
            direct_generation,
            handshake_timeout: config.handshake_timeout,
            user_agent: config.user_agent.clone(),
            live: fixed.live.clone(),
        };
        let for_outsiders = Arc::new(upstreams(is_this_machine, 1));
        let upstreams = Arc::new(upstreams(|_| false, 0));
        let fetcher = Arc::new(Fetcher::new(dialer.resolver.clone(), dialer.own.clone()));
        Ok(Self {
            generations,
            upstreams,
            for_outsiders,
            dialer,
            fetcher,
            decisions: Arc::new(Semaphore::new(MAX_DECISIONS)),
        })
    }

    /// The snapshot for requests that begin now.
    pub fn proxy(&self, config: &Config, fixed: &Fixed, situation: &Situation) -> Proxy {
        let router = Arc::new(router(config, situation));
        let snapshot = |upstreams: &Arc<Upstreams>, for_outsiders| Proxy {
            router: router.clone(),
            decisions: self.decisions.clone(),
            provisional: situation.provisional,
            standing: standing(config, situation),
            upstreams: upstreams.clone(),
            for_outsiders,
            listen: fixed.listen.addrs(),
            local_hosts: config.local_hosts.iter().map(ToString::to_string).collect(),
            connect_ports: config.connect_ports.clone(),
            forwards_port_80: config.connect_port_80 == ConnectPort80::AbsoluteForm,
            head_timeout: config.head_timeout,
            keepalive: config.keepalive,
            relay: relay::Options {
                idle_timeout: config.idle_timeout,
                half_close_timeout: config.half_close_timeout,
                splices: config.splices,
            },
            max_head: config.max_head,
            pseudonym: fixed.pseudonym.clone(),
            audit: fixed.audit.clone(),
            tally: fixed.tally.clone(),
        };
        snapshot(&self.upstreams, Some(Arc::new(snapshot(&self.for_outsiders, None))))
    }

    /// Those from before a person asked for a fresh start so often.
    pub fn forget_secrets(&self, generation: u64) {
        self.upstreams.mechanisms.renew(generation);
    }

    pub fn terms(&self, config: &Config, state: &State) -> Terms {
        Terms {
            limits: Limits { time: config.pac.timeout, memory: config.pac.memory },
            host: Arc::new(ScriptHost::new()),
            fetcher: self.fetcher.clone(),
            dialer: self.dialer.clone(),
            direct_fallback: config.direct_fallback,
            store: state.clone(),
        }
    }
}

fn router(config: &Config, situation: &Situation) -> Router {
    let routing = config.routing(situation.choice.profile);
    let named = routing.upstreams.iter().filter_map(|name| config.upstream(name)).map(|one| one.endpoint.clone());
    let mut router = Router {
        no_proxy: routing.no_proxy.clone(),
        never_direct: config.never_direct.clone(),
        rules: routing.rules.clone(),
        pac: match situation.provisional {
            true => PacState::Failed("it is not known yet where this machine is".into()),
            false => situation.pac.clone(),
        },
        upstreams: named.collect(),
        system: None,
        direct_fallback: config.direct_fallback,
    };
    if let Some(system) = &situation.system {
        router.system = (!system.upstreams.is_empty()).then(|| system.source.clone());
        router.upstreams.clone_from(&system.upstreams);
        router.no_proxy.extend(system.no_proxy.clone());
    }
    router
}

fn standing(config: &Config, situation: &Situation) -> Standing {
    let profile = situation.choice.profile.and_then(|at| config.profiles.get(at));
    Standing {
        profile: profile.map(|profile| profile.name.as_str().into()),
        why: situation.choice.why.clone(),
        pac: situation.pac_status.clone(),
        pac_text: situation.pac_text.clone(),
        system: situation.system.as_ref().map(|system| system.source.clone()),
    }
}

fn upstream(one: &config::Upstream, generations: &mut Generations) -> Result<Upstream, StartError> {
    let tls = if one.endpoint.is_tls() {
        let client_cert = one.client.as_ref().map(|client| (client.certificate.clone(), client.key.clone()));
        let options = TlsOptions { ca_file: one.ca_file.clone(), client_cert };
        Some(Tls::new(&options).map_err(|source| StartError::Tls { name: one.name.clone(), source })?)
    } else {
        None
    };
    Ok(Upstream {
        endpoint: one.endpoint.clone(),
        schemes: one.schemes.as_slice().into(),
        tls,
        channel_bindings: one.channel_bindings,
        generation: generations.of(Seen::Upstream(Box::new(one.clone()))),
    })
}

/// The credentials that may go to upstreams which are named elsewhere than in the configuration.
fn for_unlisted(config: &Config) -> impl Iterator<Item = &Arc<Credential>> {
    config.credentials.iter().filter(|credential| !credential.for_upstreams.is_empty())
}

/// Upstreams that share a credential share its account, and with it its tickets.
struct Accounts<'a> {
    made: Vec<(&'a Credential, Arc<Account>)>,
    all: &'a [Arc<Credential>],
}

impl<'a> Accounts<'a> {
    fn new(config: &'a Config) -> Self {
        Self { made: Vec::new(), all: &config.credentials }
    }

    fn of(&mut self, credential: &'a Credential) -> Arc<Account> {
        if let Some((_, account)) = self.made.iter().find(|(seen, _)| *seen == credential) {
            return account.clone();
        }
        let account = Arc::new(Account::new(settings(credential, domain_of(self.all, credential))));
        self.made.push((credential, account.clone()));
        account
    }
}

/// An upstream that is configured gets its own credential whatever the patterns of others say.
fn identities(config: &Config, found: &[Endpoint]) -> Identities {
    let logged_in = Credential::logged_in();
    let mut accounts = Accounts::new(config);
    let mut grants = Vec::new();
    for upstream in &config.upstreams {
        grants.push(Grant {
            upstream: Recipient::Upstream(upstream.endpoint.clone()),
            account: accounts.of(&upstream.credential),
            schemes: upstream.schemes.clone(),
            spn: upstream.spn.clone(),
            canonicalize: match upstream.canonicalize {
                config::Canonicalize::Never => Canonicalize::Never,
                config::Canonicalize::Always => Canonicalize::Always,
                config::Canonicalize::Fallback => Canonicalize::Fallback,
            },
        });
    }
    let whose = match config.credentials.as_slice() {
        [] => Some(&logged_in),
        [only] => Some(&**only),
        // Which one is for the user to say.
        _ => None,
    };
    for (endpoint, credential) in found.iter().zip(whose.into_iter().cycle()) {
        grants.push(Grant {
            upstream: Recipient::Upstream(endpoint.clone()),
            account: accounts.of(credential),
            schemes: Scheme::DEFAULT.to_vec(),
            spn: None,
            canonicalize: Canonicalize::Never,
        });
    }
    for credential in for_unlisted(config) {
        grants.push(Grant {
            upstream: Recipient::matching(&credential.for_upstreams),
            account: accounts.of(credential),
            schemes: Scheme::DEFAULT.to_vec(),
            spn: None,
            canonicalize: Canonicalize::Never,
        });
    }
    let outside = Outside {
        canonical_name: Arc::new(resolver::canonical_name),
        service_records: Arc::new(resolver::service_records),
    };
    Identities::new(grants, outside)
}

pub(super) fn settings(credential: &Credential, domain: Option<String>) -> Settings {
    Settings {
        user: credential.user.clone(),
        password: reader(credential.secret.as_ref()),
        nt_hash: reader(credential.nt_hash.as_ref()),
        keytab: credential.keytab.clone(),
        version: version(credential.files()),
        realm: credential.realm.clone(),
        kdc: credential.kdc.clone(),
        domain,
        apart: credential.separate_account.then(|| credential.name.clone()),
    }
}

fn reader(source: Option<&Source>) -> ReadSecret {
    let source = source.cloned();
    Arc::new(move || source.as_ref().map(Source::read).transpose().map_err(|error| error.to_string()))
}

/// Nothing to look at is always the same.
fn version(files: Vec<PathBuf>) -> Version {
    Arc::new(move || config::version(&files))
}

fn own_address(listening: &Listening) -> OwnAddress {
    let listening = listening.clone();
    Arc::new(move |addr| listening.is_own(addr))
}

struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(resolver::resolve(name, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Endpoint, Protocol, Target};
    use crate::auth::{Mechanisms, Start};
    use crate::config::{Environment, Files, Inputs, Layer, PolicyPlace, load};

    fn config(patterns: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hallpass.toml");
        let text = format!(
            "[upstreams.own]\nurl = \"http://own.test:8080\"\ncredential = \"bob\"\n\
             [credentials.alice]\nuser = 'CORP\\alice'\npassword_command = [\"true\"]\nfor = [{patterns}]\n\
             [credentials.bob]\nuser = 'CORP\\bob'\npassword_command = [\"true\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        let inputs = Inputs {
            files: Files::Only(path),
            environment: Environment::default(),
            flags: Layer::default(),
            policy: PolicyPlace::Nowhere,
        };
        load(&inputs).unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0)).config
    }

    #[test]
    fn a_credential_goes_to_its_own_upstreams_and_to_those_that_its_patterns_cover() {
        let config = config("\"*.corp.example\", \"own.test\"");
        let identities = identities(&config, &[]);
        let receives = |host: &str, port: u16| {
            let target = Target::parse(&format!("{host}:{port}"), None).unwrap();
            let endpoint = Endpoint { target, protocol: Protocol::Http };
            let begun = identities.start(Start::Scheme(Scheme::Ntlm), &endpoint, None, None);
            begun.map(|_| ()).map_err(|error| error.to_string())
        };
        let nothing = |host: &str| receives(host, 8080).unwrap_err().contains("no credential is meant for");
        assert!(["evil.test", "corp.example", "evilcorp.example", "corp.example.evil.test"].into_iter().all(nothing));
        // What is begun needs the password, and the command gives none: it is not refused for want of a grant.
        for (host, port) in [("proxy.corp.example", 1), ("own.test", 8080), ("own.test", 81)] {
            let outcome = receives(host, port);
            assert!(!outcome.as_ref().is_err_and(|error| error.contains("meant for")), "{host}:{port} {outcome:?}");
        }
    }

    #[test]
    fn what_was_learnt_of_an_upstream_ends_with_the_credentials_it_may_receive() {
        let mut generations = Generations::default();
        let mut of = |patterns: &str| {
            let config = config(patterns);
            let listed = generations.of(Seen::Upstream(Box::new(config.upstreams[0].clone())));
            (listed, generations.of(Seen::Unlisted(for_unlisted(&config).cloned().collect(), Vec::new())))
        };
        let (listed, first) = of("\"*.corp.example\"");
        let (_, second) = of("\"*.other.example\"");
        assert_eq!(of("\"*.corp.example\"").1, first);
        assert!(first != second && first != listed && second != listed);
    }
}
