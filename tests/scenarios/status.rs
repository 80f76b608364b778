//! What `/status` and the page at `/` tell: tunnels while they run, failures with what to do, how each upstream stands.

use hallpass::practice::Offer;
use serde_json::Value;

use super::support::{Answer, Closed, Office, Peer, Relay, soon};

async fn page(relay: &Relay, path: &str) -> Answer {
    relay.client().await.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

async fn status(relay: &Relay) -> Value {
    serde_json::from_str(page(relay, "/status").await.text()).unwrap()
}

/// Asks until what it says is what is waited for.
async fn status_when(relay: &Relay, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let status = status(relay).await;
            if is_so(&status) {
                return status;
            }
        }
    };
    soon(what, asking).await
}

async fn exchange(client: &mut Peer) {
    let answer = client.ask("GET /hello HTTP/1.1\r\nHost: origin.practice\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_seen_while_it_runs_with_its_bytes_and_is_gone_afterwards() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut client = office.tunnel().await;
    let before = status(&office.relay).await["tunnels"].clone();
    assert_eq!(before["count"], 1);
    let tunnel = &before["list"][0];
    assert_eq!(tunnel["target"], "origin.practice:80");
    assert_eq!(tunnel["hop"], format!("http://{}", office.proxy.addr()));
    assert_eq!(tunnel["client"], client.stream.local_addr().unwrap().to_string());
    if cfg!(target_os = "linux") {
        let ourselves = std::env::current_exe().unwrap();
        assert_eq!(tunnel["program"].as_str(), ourselves.to_str());
    }
    exchange(&mut client).await;
    let moved = |more: u64| move |status: &Value| status["tunnels"]["list"][0]["bytes_down"].as_u64() > Some(more);
    let first = status_when(&office.relay, "bytes", moved(0)).await;
    let figure = |status: &Value, key: &str| status["tunnels"]["list"][0][key].as_u64().unwrap();
    assert!(figure(&first, "bytes_up") > 0 && figure(&first, "idle_seconds") < 10);
    exchange(&mut client).await;
    let second = status_when(&office.relay, "more bytes", moved(figure(&first, "bytes_down"))).await;
    assert!(second["traffic"]["bytes_down"].as_u64().unwrap() >= figure(&second, "bytes_down"));
    let id = second["tunnels"]["list"][0]["id"].clone();
    drop(client);
    let after = status_when(&office.relay, "its end", |status| status["tunnels"]["count"] == 0).await;
    // What it carried is not lost with it.
    assert_eq!(
        after["traffic"],
        second["traffic"]
            .as_object()
            .map(|before| {
                let mut before = before.clone();
                before.insert("clients".into(), after["traffic"]["clients"].clone());
                Value::Object(before)
            })
            .unwrap()
    );
    let records = office.relay.records(1).await;
    let record = records.iter().find(|record| record["id"] == id).unwrap();
    assert_eq!(record["bytes_down"], second["tunnels"]["list"][0]["bytes_down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_with_what_to_do_and_the_id_of_its_record() {
    let nobody = Closed::reserve().addr;
    let relay = Relay::direct();
    let request = format!("CONNECT {nobody} HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..3 {
        assert_eq!(relay.client().await.ask(&request).await.status(), 502);
    }
    let failures = status(&relay).await["failures"].clone();
    assert_eq!(failures.as_array().unwrap().len(), 1, "{failures}");
    let told = &failures[0];
    assert_eq!((told["target"].as_str(), told["count"].as_u64()), (Some(nobody.to_string().as_str()), Some(3)));
    assert_eq!((told["end"].as_str(), told["status"].as_u64()), (Some("unreachable"), Some(502)));
    assert_eq!(
        (told["at_fault"].as_str(), told["anchor"].as_str()),
        (Some("the target"), Some("target-refuses-connections")),
        "{told}"
    );
    assert!(told["hint"].as_str().unwrap().contains("check its address and port"), "{told}");
    assert!(relay.records(3).await.iter().any(|record| record["id"] == told["id"]), "{told}");
    // What is wrong with a question for our own pages is no failure of a request.
    assert_eq!(page(&relay, "/favicon.ico").await.status(), 404);
    assert_eq!(status(&relay).await["failures"], failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_requests_fail_no_more_than_twenty_are_told_of() {
    let relay = Relay::before(Closed::reserve().addr).start();
    for number in 0..30 {
        let request = format!("CONNECT h{number}.test:443 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(relay.client().await.ask(&request).await.status(), 502);
    }
    let status = status(&relay).await;
    let failures = status["failures"].as_array().unwrap();
    assert_eq!((failures.len(), failures[0]["target"].as_str()), (20, Some("h29.test:443")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_upstream_says_how_we_log_in_as_whom_and_how_often_it_went_well() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let upstream = async || status(&office.relay).await["upstreams"][0].clone();
    let unused = upstream().await;
    assert_eq!((unused["state"].as_str(), unused["scheme"].as_str()), (Some("unused"), None));
    drop(office.tunnel().await);
    drop(office.tunnel().await);
    let used = upstream().await;
    assert_eq!(used["upstream"], format!("http://{}", office.proxy.addr()));
    assert_eq!((used["state"].as_str(), used["scheme"].as_str()), (Some("up"), Some("NTLM")));
    assert_eq!(used["account"], "PRACTICE\\alice");
    assert_eq!(used["logons"], serde_json::json!({ "accepted": 2, "rejected": 0 }));
    assert!(used["last_success"].is_string() && used["breaker"] == "closed" && used["ticket"].is_null(), "{used}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_log_on_opens_the_breaker_for_all_to_see() {
    let office = Office::with([Offer::Ntlm]).password("wrong").start().await;
    assert_eq!(office.get("/hello").await.status(), 407);
    let status = status(&office.relay).await;
    let upstream = &status["upstreams"][0];
    assert_eq!(upstream["logons"], serde_json::json!({ "accepted": 0, "rejected": 1 }));
    assert_eq!(upstream["breaker"], "open");
    assert_eq!(status["failures"][0]["end"], "credential_rejected");
    let html = page(&office.relay, "/").await;
    assert!(html.text().contains("nothing is sent for PRACTICE\\alice"), "{}", html.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_whole_without_a_script_and_lets_nothing_else_in() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let _tunnel = office.tunnel().await;
    let answer = page(&office.relay, "/").await;
    assert_eq!((answer.status(), answer.head.one("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = answer.head.one("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(answer.head.one("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.head.one("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.head.one("cache-control"), Some("no-store"));
    let html = answer.text();
    assert!(html.contains("origin.practice:80") && html.contains("1 tunnel is open"), "{html}");
    assert!(!html.contains("src=") && !html.contains("@import") && !html.contains("https://"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_tunnel_is_recorded_with_the_bytes_that_it_had_carried() {
    let office = Office::with([Offer::Ntlm]).relay(|relay| relay.key("grace = \"0s\"")).start().await;
    let mut client = office.tunnel().await;
    exchange(&mut client).await;
    let records = office.relay.stop().await;
    let tunnel = records.iter().find(|record| record["end"] == "drained").unwrap();
    assert!(tunnel["bytes_down"].as_u64() > Some(0), "{tunnel}");
}
