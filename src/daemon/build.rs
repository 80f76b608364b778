//! A valid configuration → everything a request needs.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use crate::audit::Audit;
use crate::auth::Scheme;
use crate::config::{self, Config, ConnectPort80, Credential};
use crate::credential::Source;
use crate::mechanism::{Account, Canonicalize, Grant, Identities, Outside, ReadSecret, Recipient, Settings};
use crate::proxy::Proxy;
use crate::relay;
use crate::resolver;
use crate::route::Router;
use crate::upstream::{Addresses, Dialer, Live, Resolve, Tls, TlsOptions, Unlisted, Upstream, Upstreams};

/// Which upstream, with which credential, was seen first when: what was learnt of another one is not true of it.
#[derive(Default)]
pub(super) struct Generations {
    seen: Vec<Seen>,
}

#[derive(PartialEq)]
enum Seen {
    Upstream(Box<config::Upstream>),
    /// The credentials that upstreams named elsewhere may receive.
    Unlisted(Vec<Arc<Credential>>),
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

/// Tells this relay from every other one in `Via`.
pub(super) fn pseudonym() -> String {
    let mut bytes = [0; 4];
    // Without randomness the pid still differs from that of any neighbour.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = std::process::id().to_be_bytes();
    }
    format!("hallpass-{:08x}", u32::from_be_bytes(bytes))
}

pub(super) fn proxy(
    config: &Config,
    listen: &[SocketAddr],
    live: &Arc<Live>,
    audit: &Audit,
    pseudonym: &str,
    generations: &mut Generations,
) -> Result<Proxy, StartError> {
    let list = config.upstreams.iter().map(|one| upstream(one, generations).map(Arc::new)).collect::<Result<_, _>>()?;
    let unlisted = Unlisted::new(generations.of(Seen::Unlisted(for_unlisted(config).cloned().collect())));
    Ok(Proxy {
        router: Router {
            no_proxy: config.no_proxy.clone(),
            upstreams: config.upstreams.iter().map(|upstream| upstream.endpoint.clone()).collect(),
            ..Router::default()
        },
        upstreams: Upstreams {
            list,
            unlisted,
            mechanisms: Arc::new(identities(config)),
            dialer: Dialer {
                resolver: Arc::new(SystemResolver),
                connect_timeout: config.connect_timeout,
                keepalive: config.keepalive,
                own: listen.into(),
            },
            handshake_timeout: config.handshake_timeout,
            user_agent: config.user_agent.clone(),
            live: live.clone(),
        },
        listen: listen.to_vec(),
        local_hosts: config.local_hosts.iter().map(ToString::to_string).collect(),
        connect_ports: config.connect_ports.clone(),
        forwards_port_80: config.connect_port_80 == ConnectPort80::AbsoluteForm,
        head_timeout: config.head_timeout,
        keepalive: config.keepalive,
        relay: relay::Options { idle_timeout: config.idle_timeout, half_close_timeout: config.half_close_timeout },
        max_head: config.max_head,
        pseudonym: pseudonym.to_string(),
        audit: audit.clone(),
    })
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
#[derive(Default)]
struct Accounts<'a>(Vec<(&'a Credential, Arc<Account>)>);

impl<'a> Accounts<'a> {
    fn of(&mut self, credential: &'a Credential) -> Arc<Account> {
        if let Some((_, account)) = self.0.iter().find(|(seen, _)| *seen == credential) {
            return account.clone();
        }
        let account = Arc::new(Account::new(settings(credential)));
        self.0.push((credential, account.clone()));
        account
    }
}

/// An upstream that is configured gets its own credential whatever the patterns of others say.
fn identities(config: &Config) -> Identities {
    let mut accounts = Accounts::default();
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

fn settings(credential: &Credential) -> Settings {
    Settings {
        user: credential.user.clone(),
        password: reader(credential.secret.as_ref()),
        nt_hash: reader(credential.nt_hash.as_ref()),
        keytab: credential.keytab.clone(),
        realm: credential.realm.clone(),
        kdc: credential.kdc.clone(),
    }
}

fn reader(source: Option<&Source>) -> ReadSecret {
    let source = source.cloned();
    Arc::new(move || source.as_ref().map(Source::read).transpose().map_err(|error| error.to_string()))
}

struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(resolver::resolve(name, port))
    }
}
