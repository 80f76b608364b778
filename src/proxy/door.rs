//! One way in: what is spoken there, and who may come by it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use subtle::{Choice, ConstantTimeEq as _};

use super::{Problem, Way, faults};
use crate::http1::Fields;
use crate::listener::Peer;
use crate::network;
use crate::owner::Owner;
use crate::process::{OwnerError, Owners};
use crate::secret::Secret;

/// Replaced as a whole by a reload, for tunnels and requests that begin after it.
#[derive(Debug)]
pub struct Door {
    pub way: Way,
    /// Users of this machine; `None`: all of them.
    pub users: Option<Arc<[Owner]>>,
    /// Networks of others; nobody else comes by an address beyond loopback.
    pub networks: Vec<IpNet>,
    /// Where it is bound to an interface.
    pub interface: Option<String>,
    /// One a line: clients of the former one have time to learn the next.
    pub token: Option<Secret>,
    /// Those who may read figures by an address beyond loopback.
    pub metrics: Vec<IpNet>,
    /// `Err`: the system does not say whose a connection is, and why not.
    pub owners: Result<Arc<Owners>, Arc<OwnerError>>,
}

/// Somebody who may not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    pub who: Who,
    /// What was refused, and why.
    pub cause: String,
    /// What would let it in.
    pub remedy: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    User(Owner),
    /// Of this machine, and the system does not say which.
    SomeUser,
    /// The client left before the system was asked whose it was.
    Nobody,
    Address(IpAddr),
}

impl Door {
    /// The user behind a client of this machine. The system is asked once, and at once: a moment later the client may
    /// have gone.
    pub(super) async fn owner(&self, peer: &Peer) -> Option<Result<Owner, OwnerError>> {
        if peer.is_outsider() && !network::is_own_address(peer.addr.ip()) {
            return None;
        }
        Some(match &self.owners {
            Ok(owners) => owners.find(peer.addr, peer.listener).await,
            Err(cause) => Err(unavailable(cause)),
        })
    }

    pub(super) fn stranger(&self, peer: &Peer, owner: Option<&Result<Owner, OwnerError>>) -> Option<Stranger> {
        match (owner, &self.users) {
            (None, _) => self.stranger_by_address(peer.addr),
            (Some(_), None) => None,
            (Some(Ok(owner)), Some(users)) if users.contains(owner) => None,
            (Some(Ok(owner)), Some(users)) => Some(Stranger {
                who: Who::User(owner.clone()),
                cause: format!("user {owner} of this machine may not use this relay, which serves {}", listed(users)),
                remedy: format!("add {owner} to users in [access]"),
            }),
            (Some(Err(error)), Some(_)) => Some(unknown(error)),
        }
    }

    fn stranger_by_address(&self, addr: SocketAddr) -> Option<Stranger> {
        let ip = addr.ip().to_canonical();
        if self.networks.iter().any(|network| network.contains(&ip)) {
            return None;
        }
        let networks: Vec<String> = self.networks.iter().map(ToString::to_string).collect();
        let (by, table) = match &self.interface {
            Some(interface) => (format!(" by {interface}"), "[[listeners]]"),
            None => (String::new(), "[access]"),
        };
        Some(Stranger {
            who: Who::Address(ip),
            cause: format!("{ip} may not use this relay, which serves {}{by}", networks.join(", ")),
            remedy: format!("add \"{ip}\" to allow in {table}"),
        })
    }

    pub(super) fn shows_metrics_to(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        self.metrics.iter().any(|network| network.contains(&ip))
    }

    /// Whether the client has shown the token, or none is wanted. Any user name will do; people also put the token in
    /// its place.
    pub(super) fn is_opened_by(&self, fields: &Fields) -> bool {
        let Some(token) = &self.token else { return true };
        fields.all("proxy-authorization").any(|value| shows(value, token).unwrap_or(false))
    }

    /// The same for those who have no fields.
    pub(super) fn is_opened_by_login(&self, user: &[u8], password: &[u8]) -> bool {
        self.token.as_ref().is_none_or(|token| says(user, password, token))
    }
}

impl Stranger {
    pub(super) fn is_of_this_machine(&self) -> bool {
        !matches!(self.who, Who::Address(_))
    }

    pub(super) fn problem(&self) -> Problem {
        let fault = if self.who == Who::Nobody { &faults::CLIENT_GONE } else { &faults::NOT_SERVED };
        Problem::new(fault, self.cause.clone())
    }
}

/// Somebody of this machine. To serve everybody is advised only where nothing else would help.
fn unknown(error: &OwnerError) -> Stranger {
    let remedy = match error {
        OwnerError::Gone => "a client that waits for an answer is served",
        OwnerError::Younger => "start the program anew, or wait until the clock has caught up",
        OwnerError::Undated => {
            "try again; where it is so with every connection, users = \"any\" in [access] serves all users of this machine"
        }
        OwnerError::Unsupported | OwnerError::Query(_) => {
            "users = \"any\" in [access] serves all users of this machine"
        }
    };
    let remedy = remedy.into();
    match error {
        OwnerError::Gone => {
            Stranger { who: Who::Nobody, cause: format!("whose connection this was cannot be told: {error}"), remedy }
        }
        OwnerError::Unsupported | OwnerError::Younger | OwnerError::Undated | OwnerError::Query(_) => {
            let cause = format!("whose connection this is cannot be told: {}", super::chain(error));
            Stranger { who: Who::SomeUser, cause, remedy }
        }
    }
}

/// A new one of the same kind: errors cannot be copied.
fn unavailable(error: &OwnerError) -> OwnerError {
    match error {
        OwnerError::Unsupported => OwnerError::Unsupported,
        OwnerError::Gone => OwnerError::Gone,
        OwnerError::Younger => OwnerError::Younger,
        OwnerError::Undated => OwnerError::Undated,
        OwnerError::Query(cause) => OwnerError::Query(io::Error::new(cause.kind(), cause.to_string())),
    }
}

fn listed(users: &[Owner]) -> String {
    users.iter().map(Owner::shown).collect::<Vec<_>>().join(" and ")
}

/// `None` for what is no Basic (RFC 7617).
fn shows(value: &[u8], token: &Secret) -> Option<bool> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (scheme, encoded) = text.split_once(' ')?;
    let plain = zeroize::Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let colon = plain.iter().position(|byte| *byte == b':')?;
    Some(scheme.eq_ignore_ascii_case("basic") && says(&plain[..colon], &plain[colon + 1..], token))
}

fn says(user: &[u8], password: &[u8], token: &Secret) -> bool {
    is(password, token) || (password.is_empty() && is(user, token))
}

/// Takes as long for a wrong one as for the right one of its length. An empty line is no token.
fn is(shown: &[u8], tokens: &Secret) -> bool {
    let tokens = tokens.expose().lines().filter(|token| !token.is_empty());
    tokens.fold(Choice::from(0), |found, token| found | shown.ct_eq(token.as_bytes())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(users: Option<&[u32]>, networks: &[&str]) -> Door {
        Door {
            way: Way::Http,
            users: users.map(|users| users.iter().map(|uid| Owner::Uid(*uid)).collect()),
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            interface: None,
            token: Some(Secret::new("t0ken")),
            metrics: Vec::new(),
            owners: Err(Arc::new(OwnerError::Unsupported)),
        }
    }

    fn peer(addr: &str, listener: &str) -> Peer {
        let (addr, listener) = (addr.parse().unwrap(), listener.parse().unwrap());
        Peer { addr, listener, owner: None }
    }

    #[test]
    fn users_of_this_machine_are_judged_by_their_number_and_others_by_their_address() {
        let door = door(Some(&[1000, 0]), &["192.0.2.0/24"]);
        let here = peer("127.0.0.1:5", "127.0.0.1:3128");
        let who =
            |owner: Result<u32, _>| door.stranger(&here, Some(&owner.map(Owner::Uid))).map(|stranger| stranger.who);
        assert_eq!((who(Ok(1000)), who(Ok(0)), who(Ok(1001))), (None, None, Some(Who::User(Owner::Uid(1001)))));
        assert_eq!(who(Err(OwnerError::Gone)), Some(Who::Nobody));
        assert_eq!(who(Err(OwnerError::Unsupported)), Some(Who::SomeUser));
        assert_eq!(who(Err(OwnerError::Undated)), Some(Who::SomeUser));
        for (addr, is_stranger) in [("192.0.2.7:1", false), ("[::ffff:192.0.2.7]:1", false), ("198.51.100.7:1", true)] {
            let stranger = door.stranger(&peer(addr, "192.0.2.1:3128"), None);
            assert_eq!(stranger.is_some(), is_stranger, "{addr}");
        }
    }

    #[test]
    fn nobody_is_advised_to_serve_everybody_for_a_clock_that_was_set_back() {
        let (door, here) = (door(Some(&[1000]), &[]), peer("127.0.0.1:5", "127.0.0.1:3128"));
        let remedy = |error| door.stranger(&here, Some(&Err(error))).unwrap().remedy;
        let younger = remedy(OwnerError::Younger);
        assert!(younger.contains("start the program anew") && younger.contains("clock"), "{younger}");
        for (error, wanted, unwanted) in [
            (OwnerError::Younger, "", "any"),
            (OwnerError::Gone, "", "any"),
            (OwnerError::Undated, "try again; where it is so with every connection, users = \"any\"", "clock"),
            (OwnerError::Unsupported, "users = \"any\"", "try again"),
            (OwnerError::Query(io::Error::other("x")), "users = \"any\"", "try again"),
        ] {
            let said = remedy(error);
            assert!(said.starts_with(wanted) && !said.contains(unwanted), "{said}");
        }
    }

    #[tokio::test]
    async fn where_all_users_are_served_it_does_not_matter_whose_a_connection_is() {
        let door = door(None, &[]);
        let here = peer("127.0.0.1:5", "127.0.0.1:3128");
        assert!(matches!(door.owner(&here).await, Some(Err(OwnerError::Unsupported))));
        assert_eq!(door.stranger(&here, Some(&Err(OwnerError::Unsupported))), None);
        let stranger = door.stranger(&peer("192.0.2.7:1", "192.0.2.1:3128"), None);
        assert_eq!(stranger.map(|stranger| stranger.who), Some(Who::Address("192.0.2.7".parse().unwrap())));
    }

    #[test]
    fn each_line_of_a_token_opens_and_an_empty_one_does_not() {
        for (tokens, shown, opens) in [
            ("new\nold", "new", true),
            ("new\r\nold\r\n", "new", true),
            ("new\n\nold", "old", true),
            ("new\n\nold", "", false),
            ("\n", "", false),
            (" new \n", "new", false),
            ("new\nold", "new\nold", false),
            ("new\nold", "ne", false),
        ] {
            let door = Door { token: Some(Secret::new(tokens)), ..door(None, &[]) };
            assert_eq!(door.is_opened_by_login(b"x", shown.as_bytes()), opens, "{tokens:?} {shown:?}");
        }
    }

    #[test]
    fn the_token_is_the_password_whatever_the_user_or_stands_alone() {
        let door = door(None, &[]);
        for (said, opens) in [
            ("x:t0ken", true),
            (":t0ken", true),
            ("t0ken:", true),
            ("x:t0ke", false),
            ("x:t0ken1", false),
            ("x:", false),
            (":", false),
            ("t0ken:x", false),
            ("t0ken", false),
        ] {
            let mut fields = Fields::default();
            fields.push("Proxy-Authorization", format!("bAsIc {}", STANDARD.encode(said)));
            assert_eq!(door.is_opened_by(&fields), opens, "{said}");
            let mut fields = Fields::default();
            fields.push("Proxy-Authorization", format!("Bearer {}", STANDARD.encode(said)));
            assert!(!door.is_opened_by(&fields), "{said}");
        }
        assert!(!door.is_opened_by(&Fields::default()));
    }
}
