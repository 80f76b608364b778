//! Server-sent events arrive one by one, as they are sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hallpass::practice::Offer;

use crate::support::{Office, Peer};

const EVENTS: usize = 20;
/// Between two events.
const PAUSE: Duration = Duration::from_millis(50);
/// Five times what is allowed on a machine that does nothing else.
const WORST: Duration = Duration::from_millis(250);

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// How late each event was, in milliseconds.
async fn listen(client: &mut Peer, target: &str) -> Vec<u128> {
    let ms = PAUSE.as_millis();
    client.send(format!("GET {target}/sse?n={EVENTS}&ms={ms} HTTP/1.1\r\nHost: o\r\n\r\n")).await;
    let head = client.head().await;
    assert_eq!((head.status(), head.one("content-type")), (200, Some("text/event-stream")));
    let (mut late, mut text) = (Vec::new(), String::new());
    while late.len() < EVENTS {
        let piece = client.once().await;
        assert!(!piece.is_empty(), "ended after {}", late.len());
        let arrived = now();
        text += &String::from_utf8(piece).unwrap();
        let mut came = 0;
        while let Some((event, rest)) = text.split_once("\n\n") {
            let sent: u128 = event.rsplit("data: ").next().unwrap().parse().unwrap();
            late.push(arrived.saturating_sub(sent));
            text = rest.to_string();
            came += 1;
        }
        assert!(came <= 2, "{came} events in one piece");
    }
    late
}

#[tokio::test]
async fn twenty_events_arrive_one_by_one_forwarded_and_tunnelled_through_ntlm() {
    let office = Office::with([Offer::Ntlm]).start().await;
    let mut forwarded = office.relay.client().await;
    let mut tunnelled = office.tunnel().await;
    let both = tokio::join!(listen(&mut forwarded, "http://o.practice"), listen(&mut tunnelled, ""));
    for mut late in [both.0, both.1] {
        late.sort_unstable();
        assert!(late[EVENTS - 1] < WORST.as_millis(), "{late:?}");
        assert!(late[EVENTS / 2] < PAUSE.as_millis(), "{late:?}");
    }
}
