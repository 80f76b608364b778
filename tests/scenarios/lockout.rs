//! The lock-out breaker: one wrong password is one bad logon, whatever asks for it and however often.

use std::path::Path;

use hallpass::practice::{DigestAlgorithm, Offer};
use tokio::task::JoinSet;

use crate::support::{Office, OfficePlan, Relay};

const CONNECT: &str = "CONNECT origin.practice:80 HTTP/1.1\r\nHost: origin.practice:80\r\n\r\n";
const GET: &str = "GET http://origin.practice/hello HTTP/1.1\r\nHost: origin.practice\r\nConnection: close\r\n\r\n";

const OFFERS: [Offer; 3] = [Offer::Ntlm, Offer::Digest(DigestAlgorithm::Md5), Offer::Basic];
const SCHEMES: &str = "schemes = [\"negotiate\", \"ntlm\", \"digest\", \"basic\"]";

fn office(offers: impl IntoIterator<Item = Offer>, state: &Path) -> OfficePlan {
    Office::with(offers).upstream(SCHEMES).relay(|plan| plan.state(state))
}

/// The statuses of so many requests at once.
async fn parallel(relay: &Relay, request: &str, count: usize) -> Vec<u16> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let mut client = relay.client().await;
        let request = request.to_string();
        clients.spawn(async move { client.ask_head(&request).await.status() });
    }
    clients.join_all().await
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|seen| **seen == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_by_fifty_at_a_time_and_not_again_after_a_restart() {
    for offer in OFFERS {
        for request in [CONNECT, GET] {
            let state = tempfile::tempdir().unwrap();
            let Office { origin: _origin, proxy, relay } =
                office([offer], state.path()).password("wrong").start().await;
            let statuses = parallel(&relay, request, 50).await;
            assert_eq!(count(&statuses, 407), 50, "{offer:?} {request:.8} {statuses:?}");
            assert_eq!(proxy.record().logons().attempted, 1, "{offer:?} {request:.8}");
            let plan = relay.plan();
            let records = relay.stop().await;
            let ends = |end: &str| records.iter().filter(|record| record["end"] == end).count();
            assert_eq!((ends("credential_rejected"), ends("breaker_open")), (1, 49), "{offer:?} {request:.8}");

            let relay = plan.start();
            let statuses = parallel(&relay, request, 50).await;
            assert_eq!(count(&statuses, 407), 50, "{offer:?} {request:.8}");
            assert_eq!(proxy.record().logons().attempted, 1, "{offer:?} {request:.8}");
        }
    }
}
