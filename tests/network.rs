//! Changes of the network are told, seen in a network namespace made for the test.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::process::Command;
use std::time::Duration;

use hallpass::network::{Change, Watch, my_addresses, snapshot};
use tokio::time::timeout;

/// A change with a hint is told this soon; without one, the slow look would take up to ten times as long.
const SOON: Duration = Duration::from_secs(1);

/// Longer than a slow look takes to come round, so that one that tells too much is seen.
const LONG: Duration = Duration::from_secs(13);

/// Runs the tests below that need a network of their own in one, each.
#[test]
fn in_a_network_of_its_own() {
    // A user namespace too, so that root is not needed and nothing outside can be changed.
    let own = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--"]);
        command
    };
    let possible = own().args(["ip", "link", "set", "lo", "up"]).output();
    if !possible.as_ref().is_ok_and(|tried| tried.status.success()) {
        let root = std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t");
        assert!(!root, "root cannot make a network namespace here: {possible:?}");
        eprintln!("SKIPPED: network changes are not tested, because unshare --map-root-user --net says {possible:?}");
        return;
    }
    let ran = own()
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--test-threads", "1", "--nocapture"])
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && told.contains("2 passed"), "{told}");
}

fn ip(arguments: &str) {
    let ran = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(ran.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// Everything a change consists of has been told: the kernel adds routes a moment after an address.
async fn settle(watch: &mut Watch) {
    while timeout(SOON, watch.changed()).await.is_ok() {}
}

#[tokio::test]
#[ignore = "in_a_network_of_its_own runs it"]
async fn each_change_of_addresses_links_and_routes_is_told_within_a_second() {
    ip("link set lo up");
    ip("link add office type veth peer name wall");
    ip("link set wall up");
    ip("link set office up");
    let mut watch = Watch::start();
    assert!(watch.is_told() && watch.network().is_offline());
    settle(&mut watch).await;
    for change in [
        "addr add 10.1.2.3/16 dev office",
        "addr add 2001:db8::2/64 dev office nodad",
        "route add default via 10.1.0.1",
        "route replace default via 10.1.0.2",
        "route add 172.20.0.0/16 via 10.1.0.9",
        "-6 route add default via 2001:db8::1",
        "addr del 2001:db8::2/64 dev office",
        "link set wall down",
        "link set wall up",
        "addr del 10.1.2.3/16 dev office",
    ] {
        ip(change);
        let told = timeout(SOON, watch.changed()).await;
        assert_eq!(told, Ok(Change::Network), "ip {change}: {:?}", watch.network());
        if change == "addr del 2001:db8::2/64 dev office" {
            let network = watch.network();
            assert!(network.gateways.contains(&"10.1.0.2".parse().unwrap()), "{network:?}");
            assert!(!network.gateways.contains(&"10.1.0.1".parse().unwrap()), "{network:?}");
            assert_eq!(my_addresses(), ["10.1.2.3".parse::<std::net::IpAddr>().unwrap()]);
        }
        settle(&mut watch).await;
    }
    assert!(watch.network().is_offline(), "{:?}", watch.network());
}

#[tokio::test]
#[ignore = "in_a_network_of_its_own runs it"]
async fn nothing_is_told_of_what_changes_nothing() {
    ip("link set lo up");
    ip("link add home type veth peer name street");
    ip("link set street up");
    ip("addr add 192.168.7.2/24 dev home");
    ip("link set home up");
    ip("route add default via 192.168.7.1");
    let mut watch = Watch::start();
    settle(&mut watch).await;
    let before = snapshot();
    // A container's links, and a lease that is renewed.
    ip("link add container type veth peer name its-end");
    ip("link set container up");
    ip("link set its-end up");
    ip("addr change 192.168.7.2/24 dev home valid_lft 900 preferred_lft 900");
    let told = timeout(LONG, watch.changed()).await;
    assert!(told.is_err(), "{told:?}\nbefore {before:?}\nafter  {:?}", watch.network());
}
