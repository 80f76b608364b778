//! Where proxies are set on Windows: in the registry.

use windows_registry::{CURRENT_USER, Key, LOCAL_MACHINE};

use super::wininet::{self, InternetSettings, Registry};
use super::{Found, Source, Variable};

pub(super) const SETTINGS: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Internet Settings";

const POLICY: &str = r"SOFTWARE\Policies\Microsoft\Windows\CurrentVersion\Internet Settings";

pub(super) fn sources(_: Variable) -> Vec<Source> {
    vec![of_the_registry]
}

fn of_the_registry(_: Variable) -> Option<Found> {
    wininet::read(&registry())
}

/// All of it that counts.
pub(super) fn registry() -> Registry {
    Registry {
        user: settings(CURRENT_USER),
        machine: settings(LOCAL_MACHINE),
        machine_wide: is_machine_wide(),
        winhttp: connection(LOCAL_MACHINE, "WinHttpSettings"),
    }
}

/// A policy has the machine's settings count for every user.
pub(super) fn is_machine_wide() -> bool {
    let policy = LOCAL_MACHINE.open(POLICY).and_then(|key| key.get_u32("ProxySettingsPerUser"));
    policy.is_ok_and(|per_user| per_user == 0)
}

/// What is not there is empty.
fn settings(root: &Key) -> InternetSettings {
    let Ok(key) = root.open(SETTINGS) else { return InternetSettings::default() };
    let text = |name: &str| key.get_string(name).unwrap_or_default();
    InternetSettings {
        proxy_enable: key.get_u32("ProxyEnable").is_ok_and(|enabled| enabled != 0),
        proxy_server: text("ProxyServer"),
        proxy_override: text("ProxyOverride"),
        auto_config_url: text("AutoConfigURL"),
        connection: connection(root, "DefaultConnectionSettings"),
    }
}

fn connection(root: &Key, name: &str) -> Vec<u8> {
    let key = root.open(format!(r"{SETTINGS}\Connections"));
    key.and_then(|key| key.get_value(name)).map(|value| value.to_vec()).unwrap_or_default()
}
