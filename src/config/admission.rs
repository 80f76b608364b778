//! The table `[access]`: which users of this machine the relay serves, which networks, and the token it asks for.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::layer::Value;
use super::mistake::Problem;
use super::reader::Reader;
use super::{Access, Users, value};
use crate::credential::Source;
use crate::process::{Owners, account};

/// The account that the relay runs as, and root.
const SELF: &str = "self";
const ANY: &str = "any";
const ROOT: u32 = 0;

/// What systemd tells every unit.
const OF_A_UNIT: &str = "INVOCATION_ID";

pub fn read(reader: &mut Reader<'_>) -> Access {
    Access {
        users: users(reader),
        token: token(reader, &["access", "token"]),
        allow: reader.list(&["access", "allow"], value::network).unwrap_or_default(),
    }
}

/// An empty one is none.
pub fn token(reader: &mut Reader<'_>, path: &[&str]) -> Option<Source> {
    let is_empty = reader.layer.get(path).is_some_and(|entry| entry.value == Value::Text(String::new()));
    if is_empty { None } else { reader.secret(path) }
}

fn users(reader: &mut Reader<'_>) -> Users {
    let path = ["access", "users"];
    let Some(items) = reader.items(&path) else {
        if reader.environment.get(OF_A_UNIT).is_some() && account::is_system_service() {
            let problem = Problem::new("a relay that the system starts must be told whom it serves");
            reader.wrong(&path, problem.hint("users = [\"alice\"] in [access], or users = \"any\""));
        }
        return Users::default();
    };
    if items.is_empty() {
        reader.wrong(&path, Problem::new("this serves nobody").hint("\"self\", \"any\" or [\"alice\"]"));
    }
    let mut users = Users { written: Vec::new(), uids: Some(Vec::new()) };
    for (text, origin) in items {
        let found = reader.checked(&path, origin, uids(&text));
        users.written.push(text);
        match (found, &mut users.uids) {
            (Some(Some(found)), Some(uids)) => uids.extend(found),
            (Some(None), uids) => *uids = None,
            (None, _) | (_, None) => {}
        }
    }
    if users.uids.is_some() && !Owners::SUPPORTED {
        let problem = Problem::new("this system does not tell whose a connection is");
        reader.wrong(&path, problem.hint("users = \"any\", and a token keeps others out"));
    }
    users
}

/// The numbers that one word stands for; `None`: all.
fn uids(text: &str) -> Result<Option<Vec<u32>>, Problem> {
    match text {
        ANY => Ok(None),
        SELF => Ok(Some(own())),
        number if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() => match number.parse() {
            Ok(uid) => Ok(Some(vec![uid])),
            Err(_) => Err(Problem::new(format!("{number} is no user's number"))),
        },
        name => match account::uid_of(name) {
            Ok(Some(uid)) => Ok(Some(vec![uid])),
            Ok(None) => Err(Problem::new(format!("there is no user {name:?}")).hint("a name as `id NAME` knows it")),
            Err(cause) => Err(Problem::new(format!("cannot look up the user {name:?}: {cause}"))),
        },
    }
}

fn own() -> Vec<u32> {
    let mut uids: Vec<u32> = account::own_uid().into_iter().chain([ROOT]).collect();
    uids.dedup();
    uids
}

/// Whoever runs it and root; everybody where the system does not tell whose a connection is.
impl Default for Users {
    fn default() -> Self {
        match Owners::SUPPORTED {
            true => Self { written: vec![SELF.into()], uids: Some(own()) },
            false => Self { written: vec![ANY.into()], uids: None },
        }
    }
}

/// Beyond loopback, somebody must have said who may come.
pub fn reach(addr: &SocketAddr, allow: &[IpNet]) -> Result<(), Problem> {
    let ip = addr.ip();
    if ip.to_canonical().is_loopback() || !allow.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(format!("{ip} is not a loopback address: others could use the proxy in your name"));
    Err(problem.hint("allow = [\"10.1.2.0/24\"] in [access] says who may; for one interface there is [[listeners]]"))
}
