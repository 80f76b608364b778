//! A valid configuration → everything a request needs.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use crate::audit::Audit;
use crate::config::{self, Config, ConnectPort80, Credential};
use crate::credential::Source;
use crate::mechanism::{Account, Canonicalize, Grant, Identities, Outside, ReadSecret, Recipient, Settings};
use crate::proxy::Proxy;
use crate::relay;
use crate::resolver;
use crate::route::Router;
use crate::upstream::{Addresses, Dialer, Live, Resolve, Tls, TlsOptions, Upstream, Upstreams};

/// Which upstream, with which credential, was seen first when: what was learnt of another one is not true of it.
#[derive(Default)]
pub(super) struct Generations {
    seen: Vec<config::Upstream>,
}

impl Generations {
    fn of(&mut self, upstream: &config::Upstream) -> u64 {
        let known = self.seen.iter().position(|seen| seen == upstream);
        let at = known.unwrap_or_else(|| {
            self.seen.push(upstream.clone());
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
    let list = config.upstreams.iter().map(|one| upstream(one, generations)).collect::<Result<_, _>>()?;
    Ok(Proxy {
        router: Router {
            no_proxy: config.no_proxy.clone(),
            upstreams: config.upstreams.iter().map(|upstream| upstream.endpoint.clone()).collect(),
        },
        upstreams: Upstreams {
            list,
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
        generation: generations.of(one),
    })
}

/// Upstreams that share a credential share its account, and with it its tickets.
fn identities(config: &Config) -> Identities {
    let mut accounts: Vec<(&Credential, Arc<Account>)> = Vec::new();
    let mut grants = Vec::new();
    for upstream in &config.upstreams {
        let credential = &*upstream.credential;
        let known = accounts.iter().find(|(seen, _)| *seen == credential).map(|(_, account)| account.clone());
        let account = known.unwrap_or_else(|| {
            let account = Arc::new(Account::new(settings(credential)));
            accounts.push((credential, account.clone()));
            account
        });
        grants.push(Grant {
            upstream: Recipient::Upstream(upstream.endpoint.clone()),
            account,
            schemes: upstream.schemes.clone(),
            spn: upstream.spn.clone(),
            canonicalize: match upstream.canonicalize {
                config::Canonicalize::Never => Canonicalize::Never,
                config::Canonicalize::Always => Canonicalize::Always,
                config::Canonicalize::Fallback => Canonicalize::Fallback,
            },
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
