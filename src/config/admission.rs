//! The table `[access]`: which users of this machine the relay serves, which networks, and the token it asks for.

use std::io;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::layer::Value;
use super::mistake::Problem;
use super::reader::Reader;
use super::{Access, Users, value};
use crate::credential::Source;
use crate::owner::Owner;
use crate::process::{Owners, account, control, is_machines_service};

/// The account that the relay runs as, and root.
const SELF: &str = "self";
const ANY: &str = "any";

pub fn read(reader: &mut Reader<'_>) -> Access {
    Access {
        users: users(reader),
        token: token(reader, &["access", "token"]),
        allow: reader.list(&["access", "allow"], value::network).unwrap_or_default(),
        metrics: reader.list(&["access", "metrics"], value::network).unwrap_or_default(),
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
        if is_machines_service() {
            let problem = Problem::new("a relay that the system starts must be told whom it serves");
            let problem = match tells_users_apart() {
                true => problem.hint("users = [\"alice\"] in [access], or users = \"any\""),
                false => problem.hint("users = \"any\" in [access], and a token keeps others out"),
            };
            reader.wrong(&path, problem);
        }
        return Users::default();
    };
    if items.is_empty() {
        reader.wrong(&path, Problem::new("this serves nobody").hint("\"self\", \"any\" or [\"alice\"]"));
    }
    let mut users = Users { written: Vec::new(), owners: Some(Vec::new()) };
    for (text, origin) in items {
        let found = reader.checked(&path, origin, owners(&text, &account::find));
        users.written.push(text);
        match (found, &mut users.owners) {
            (Some(Some(found)), Some(owners)) => owners.extend(found),
            (Some(None), owners) => *owners = None,
            (None, _) | (_, None) => {}
        }
    }
    if users.owners.is_some() && control::is_obeying() {
        // Without rights of an administrator it may not look at the processes of those whom it would serve.
        let problem = Problem::new("a service of Windows is not told whose a connection is");
        reader.wrong(&path, problem.hint("users = \"any\", and a token keeps others out"));
    }
    if users.owners.is_some() && !Owners::SUPPORTED {
        let problem = Problem::new("this system does not tell whose a connection is");
        reader.wrong(&path, problem.hint("users = \"any\", and a token keeps others out"));
    }
    users
}

/// A service of Windows may not look at the processes of those whom it would serve.
fn tells_users_apart() -> bool {
    Owners::SUPPORTED && !control::is_obeying()
}

/// The users that one word stands for; `None`: all. A directory that is out of reach may be within it a moment later, as
/// when a machine starts.
fn owners(text: &str, find: &dyn Fn(&str) -> io::Result<Option<Owner>>) -> Result<Option<Vec<Owner>>, Problem> {
    match text {
        ANY => Ok(None),
        SELF => Ok(Some(own())),
        name => match find(name) {
            Ok(Some(owner)) => Ok(Some(vec![owner])),
            Ok(None) => Err(Problem::new(format!("there is no user {name:?}")).hint(account::HINT)),
            Err(cause) => Err(Problem::new(format!("cannot look up the user {name:?}: {cause}")).passing()),
        },
    }
}

fn own() -> Vec<Owner> {
    let mut owners: Vec<Owner> = account::own().into_iter().chain([account::root()]).collect();
    owners.dedup();
    owners
}

/// Whoever runs it and root; everybody where the system does not tell whose a connection is.
impl Default for Users {
    fn default() -> Self {
        match Owners::SUPPORTED {
            true => Self { written: vec![SELF.into()], owners: Some(own()) },
            false => Self { written: vec![ANY.into()], owners: None },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mistake, Mistakes, Origin};

    #[test]
    fn a_directory_out_of_reach_may_be_there_later_and_a_user_who_is_not_in_it_will_not() {
        let find = |name: &str| match name {
            "alice" => Ok(Some(Owner::Uid(1000))),
            "nobody-here" => Ok(None),
            _ => Err(io::Error::other("the directory does not answer")),
        };
        assert_eq!(owners("alice", &find).ok(), Some(Some(vec![Owner::Uid(1000)])));
        let may_pass = |names: &[&str]| {
            let wrong = names.iter().filter_map(|name| owners(name, &find).err());
            let mistakes = wrong.map(|problem| Mistake::new(Origin::Default, "access.users", problem)).collect();
            Mistakes(mistakes).may_pass()
        };
        assert!(may_pass(&["bob"]) && may_pass(&["alice", "bob", "carol"]));
        assert!(!may_pass(&["nobody-here"]) && !may_pass(&["bob", "nobody-here"]));
    }
}
