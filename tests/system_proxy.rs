//! What a system says about proxies is asked where it stands: variables, the desktop's program, the desktop's file.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use hallpass::system_proxy::{Kind, Ourselves, discover};
use tempfile::TempDir;

/// A home with a `kioslaverc`, and a `gsettings` that prints what was recorded.
struct Desktop(TempDir);

impl Desktop {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".config")).unwrap();
        fs::write(
            home.path().join(".config/kioslaverc"),
            "[Proxy Settings]\nProxyType=2\nProxy Config Script=http://kde.corp.example/proxy.pac\n",
        )
        .unwrap();
        let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/system_proxy/gnome-manual.txt");
        let program = home.path().join("gsettings");
        fs::write(
            &program,
            format!("#!/bin/sh\n[ \"$*\" = 'list-recursively org.gnome.system.proxy' ] && cat '{recorded}'\n"),
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        symlink("/bin/cat", home.path().join("cat")).unwrap();
        Self(home)
    }

    /// What `finding` finds with nothing but these variables.
    fn found(&self, variables: &[(&str, &str)]) -> String {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["finding", "--exact", "--ignored", "--nocapture"])
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", self.0.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8(child.stdout).unwrap();
        assert!(child.status.success(), "{text}");
        text
    }
}

#[test]
#[ignore = "the others run it with an environment of their own"]
fn finding() {
    let listening: [SocketAddr; 1] = ["127.0.0.1:3128".parse().unwrap()];
    let is_own_address = &hallpass::network::is_own_address;
    let ourselves = Ourselves { listening: &listening, is_own_address, changed: None };
    let found = discover(&|name| std::env::var(name).ok(), &ourselves);
    let shown = match found.kind {
        Kind::Static { upstreams, .. } => upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Kind::Pac(url) => url,
        Kind::AutoDetect => "auto".into(),
        Kind::Direct => "direct".into(),
    };
    println!("{} says {shown}; {}", found.source, found.notes.join("; "));
}

#[test]
fn the_environment_comes_before_the_desktop_that_runs_and_that_before_another() {
    let desktop = Desktop::new();
    let gnome = ("XDG_CURRENT_DESKTOP", "ubuntu:GNOME");
    for (variables, says) in [
        (
            vec![("https_proxy", "http://env.corp.example:1"), gnome],
            "the environment variable https_proxy says http://env.corp.example:1",
        ),
        (vec![gnome], "GNOME's network settings says http://secure.corp.example:8443"),
        (vec![("XDG_CURRENT_DESKTOP", "KDE")], "KDE's proxy settings says http://kde.corp.example/proxy.pac"),
        (vec![("DISPLAY", ":0")], "GNOME's network settings says http://secure.corp.example:8443"),
        (vec![], "KDE's proxy settings says http://kde.corp.example/proxy.pac"),
        (vec![("HOME", "/nowhere")], "the system says direct"),
    ] {
        let found = desktop.found(&variables);
        assert!(found.contains(says), "{variables:?}: {found}");
    }
}

#[test]
fn a_variable_that_names_ourselves_gives_way_to_the_desktop() {
    let found = Desktop::new().found(&[("HTTPS_PROXY", "http://localhost:3128"), ("XDG_CURRENT_DESKTOP", "GNOME")]);
    assert!(found.contains("GNOME's network settings says"), "{found}");
    assert!(found.contains("HTTPS_PROXY: http://localhost:3128 is ignored"), "{found}");
}
