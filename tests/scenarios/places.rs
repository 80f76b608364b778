//! Profiles: the first whose conditions hold, and another one when the place turns out to be another one.

use std::time::{Duration, Instant};

use hallpass::practice::Offer;
use serde_json::Value;

use crate::support::{BlackHole, Office, Relay, RelayPlan, Say, Scripted, Upstream};

async fn connect(relay: &Relay, target: &str) -> u16 {
    relay.client().await.ask_head(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await.status()
}

async fn status(relay: &Relay) -> Value {
    let answer = relay.client().await.ask("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    serde_json::from_str(answer.text()).unwrap()
}

fn office_and_home(upstream: std::net::SocketAddr) -> RelayPlan {
    Relay::before(upstream).tables(&format!(
        "[profiles.office]\nwhen = {{ reachable = \"{upstream}\" }}\n[profiles.home]\nupstreams = []\n"
    ))
}

#[tokio::test]
async fn at_the_office_the_upstream_is_used_and_elsewhere_all_goes_direct() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = office_and_home(upstream.addr).start();
    assert_eq!(connect(&relay, "a.test:443").await, 200);
    let record = relay.records(1).await.remove(0);
    assert_eq!((&record["profile"], &record["reason"]["kind"]), (&"office".into(), &"upstream".into()), "{record}");
    let status = status(&relay).await;
    assert_eq!(status["profile"]["name"], "office");
    assert_eq!(status["profile"]["reason"], format!("reachable {}", upstream.addr));

    let nobody = Scripted::start().await.addr();
    let relay = office_and_home(nobody).start();
    assert_eq!(connect(&relay, "nobody.invalid:443").await, 502);
    let record = relay.records(1).await.remove(0);
    assert_eq!((&record["profile"], &record["hop"]), (&"home".into(), &"direct".into()), "{record}");
}

#[tokio::test]
async fn a_request_that_finds_the_office_gone_goes_on_from_home() {
    let upstream = Upstream::start(Say::welcome).await;
    let relay = office_and_home(upstream.addr).start();
    assert_eq!(connect(&relay, "a.test:443").await, 200);
    drop(upstream);
    // The same request: it fails directly, but that is where it went.
    assert_eq!(connect(&relay, "nobody.invalid:443").await, 502);
    let record = relay.records(2).await.into_iter().find(|record| record["target"] == "nobody.invalid:443").unwrap();
    assert_eq!((&record["profile"], &record["hop"]), (&"home".into(), &"direct".into()), "{record}");
}

#[tokio::test]
async fn a_profile_that_is_asked_for_holds_whatever_the_place_is() {
    let nobody = Scripted::start().await.addr();
    let relay = office_and_home(nobody).key("profile = \"office\"").start();
    assert_eq!(connect(&relay, "a.test:443").await, 502);
    let record = relay.records(1).await.remove(0);
    assert_eq!(
        (&record["profile"], &record["hop"]),
        (&"office".into(), &format!("http://{nobody}").into()),
        "{record}"
    );
    assert_eq!(status(&relay).await["profile"]["reason"], "it was asked for");
}

#[tokio::test]
async fn a_proxy_that_the_environment_names_is_used_and_gets_the_only_credential() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let relay = RelayPlan::default()
        .variable("https_proxy", &format!("http://{}", office.proxy.addr()))
        .variable("no_proxy", "direct.invalid")
        .start();
    assert_eq!(connect(&relay, "origin.practice:80").await, 200);
    assert_eq!(connect(&relay, "direct.invalid:443").await, 502);
    assert_eq!(office.logons().accepted, 1);
    let records = relay.stop().await;
    let kind = |target: &str| {
        let record = records.iter().find(|record| record["target"] == target).unwrap();
        (record["reason"]["kind"].clone(), record["hop"].clone())
    };
    assert_eq!(kind("origin.practice:80"), ("system".into(), format!("http://{}", office.proxy.addr()).into()));
    assert_eq!(kind("direct.invalid:443"), ("no_proxy".into(), "direct".into()));
}

#[tokio::test]
async fn a_reload_with_other_profiles_is_looked_at_at_once() {
    let upstream = Upstream::start(Say::welcome).await;
    let mut relay = Relay::before(upstream.addr).start();
    assert_eq!(connect(&relay, "a.test:443").await, 200);
    relay.reload(|plan| plan.tables("[profiles.always]\nupstreams = []\n"));
    let mut number = 0;
    loop {
        number += 1;
        let target = format!("b{number}.invalid:443");
        connect(&relay, &target).await;
        let records = relay.records(number + 1).await;
        let record = records.iter().find(|record| record["target"] == target.as_str()).unwrap();
        if record["profile"] == "always" {
            assert_eq!(record["hop"], "direct");
            return;
        }
    }
}

#[tokio::test]
async fn a_reload_that_names_a_script_sends_nothing_by_the_old_way_while_the_script_is_fetched() {
    let upstream = Upstream::start(Say::welcome).await;
    let script = format!("function FindProxyForURL(u, h) {{ return 'PROXY {}'; }}", upstream.addr);
    let server = Upstream::start(move |_| {
        // Slow enough for requests to come in between, and no fact that they could wait for.
        std::thread::sleep(Duration::from_millis(200));
        Say::last(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{script}", script.len()))
    })
    .await;
    let mut relay = Relay::direct();
    assert_eq!(connect(&relay, "nobody.invalid:443").await, 502);
    relay.reload(|plan| plan.tables(&format!("[pac]\nurl = \"http://{}/p\"", server.addr)));
    assert_eq!(connect(&relay, "a.invalid:443").await, 200);
    let record = relay.records(2).await.remove(1);
    assert_eq!(record["reason"]["kind"], "pac", "{record}");
}

#[tokio::test]
async fn a_request_that_is_stuck_in_the_office_goes_direct_within_two_seconds() {
    let (office, hole) = (Upstream::start(Say::welcome).await, BlackHole::dig().await);
    let relay = RelayPlan::default()
        .tables(&format!(
            "[profiles.office]\nwhen = {{ reachable = \"{}\" }}\n\
             pac = \"data:,function%20FindProxyForURL()%7Breturn%20'PROXY%20{1}'%7D\"\n\
             [profiles.elsewhere]\npac = \"http://{1}/proxy.pac\"\n",
            office.addr, hole.addr
        ))
        .start();
    // The page for browsers is there when the first look was taken.
    relay.client().await.ask("GET /proxy.pac HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(status(&relay).await["profile"]["name"], "office");
    drop(office);
    let began = Instant::now();
    assert_eq!(connect(&relay, "nobody.invalid:443").await, 502);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let record = relay.records(2).await.into_iter().find(|record| record["method"] == "CONNECT").unwrap();
    assert_eq!((&record["reason"]["kind"], &record["hop"]), (&"pac_fallback".into(), &"direct".into()), "{record}");
}
