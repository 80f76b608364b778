//! What flags and variables say in one word and files in a table: `--upstream`, `--user`, `--scheme`,
//! `--credential-for`, and the password that only the environment may hold.

use super::environment::{Environment, PASSWORD};
use super::layer::{Entry, Layer, Value};
use super::mistake::{Mistake, Origin, Problem};

/// The credential that `--user` makes.
const MADE_BY_USER: &str = "default";

/// Turns the shortcuts into the tables they stand for. They come from above the files, so they win.
pub fn apply(layer: &mut Layer, environment: &Environment, mistakes: &mut Vec<Mistake>) {
    upstream(layer);
    pac(layer);
    user(layer);
    scheme(layer);
    if let Some(entry) = layer.take(&["credential_for"]) {
        credential_for(layer, entry, mistakes);
    }
    if let Some(password) = environment.get(PASSWORD) {
        self::password(layer, password, mistakes);
    }
}

/// The upstreams of the files are replaced, not added to.
fn upstream(layer: &mut Layer) {
    let Some(Entry { value: Value::List(items), .. }) = layer.take(&["upstream"]) else { return };
    // What goes elsewhere in the files would leave the one that was asked for unused.
    layer.clear(&["upstreams"]);
    layer.clear(&["pac", "url"]);
    layer.clear(&["profiles"]);
    for (at, item) in items.into_iter().enumerate() {
        let name = format!("upstream-{}", at + 1);
        layer.set(&["upstreams", &name], Value::Named, item.origin.clone());
        layer.set(&["upstreams", &name, "url"], item.value, item.origin);
    }
}

fn pac(layer: &mut Layer) {
    let Some(Entry { value, origin, .. }) = layer.take(&["pac"]) else { return };
    // Else the profile that fits would leave the one that was asked for unused.
    for name in layer.names("profiles") {
        layer.clear(&["profiles", &name, "upstreams"]);
        layer.clear(&["profiles", &name, "pac"]);
    }
    layer.set(&["pac", "url"], value, origin);
}

/// Another user's password is of no use, so the credentials of the files go, unless the only one is this user's
/// or lacks just the user.
fn user(layer: &mut Layer) {
    let Some(Entry { value, origin, .. }) = layer.take(&["user"]) else { return };
    if let [only] = layer.names("credentials").as_slice() {
        let path = ["credentials", only, "user"];
        if layer.get(&path).is_none_or(|entry| entry.value == value) {
            layer.set(&path, value, origin);
            return;
        }
    }
    layer.clear(&["credentials"]);
    for name in layer.names("upstreams") {
        layer.clear(&["upstreams", &name, "credential"]);
    }
    layer.set(&["credentials", MADE_BY_USER], Value::Named, origin.clone());
    layer.set(&["credentials", MADE_BY_USER, "user"], value, origin);
}

fn scheme(layer: &mut Layer) {
    let Some(Entry { value, origin, .. }) = layer.take(&["scheme"]) else { return };
    for name in layer.names("upstreams") {
        layer.set(&["upstreams", &name, "schemes"], value.clone(), origin.clone());
    }
}

fn credential_for(layer: &mut Layer, entry: Entry, mistakes: &mut Vec<Mistake>) {
    match layer.names("credentials").as_slice() {
        [only] => layer.set(&["credentials", only, "for"], entry.value, entry.origin),
        // Without a user it is the logged-in identity.
        [] => {
            layer.set(&["credentials", MADE_BY_USER], Value::Named, entry.origin.clone());
            layer.set(&["credentials", MADE_BY_USER, "for"], entry.value, entry.origin);
        }
        _ => mistakes.push(several(entry.origin, "for")),
    }
}

/// The variable comes before every other place of the only credential's secret.
fn password(layer: &mut Layer, password: &str, mistakes: &mut Vec<Mistake>) {
    let origin = Origin::Variable(PASSWORD.into());
    if password.is_empty() {
        mistakes.push(Mistake::new(origin, "password", Problem::new("the variable is empty").hint("unset it")));
        return;
    }
    match layer.names("credentials").as_slice() {
        [only] => {
            for key in ["password", "password_command", "nt_hash"] {
                layer.clear(&["credentials", only, key]);
            }
            layer.set(&["credentials", only, "password"], Value::Text(format!("${{env:{PASSWORD}}}")), origin);
        }
        [] => mistakes.push(Mistake::new(
            origin,
            "password",
            Problem::new("a password without a user").hint("name the user with --user, HALLPASS_USER or in a file"),
        )),
        _ => mistakes.push(several(origin, "password")),
    }
}

fn several(origin: Origin, key: &str) -> Mistake {
    let problem = Problem::new("whose? There are several credentials");
    Mistake::new(origin, key, problem.hint(format!("write {key} in the tables [credentials.NAME]")))
}
