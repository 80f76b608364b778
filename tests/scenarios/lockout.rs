//! The lock-out breaker: one wrong password is one bad logon, whatever asks for it and however often.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hallpass::practice::{Account, DigestAlgorithm, Offer};
use hallpass::state::State;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{
    Guard, Office, OfficePlan, PASSWORD, Relay, RelayPlan, Say, SocksPlan, SocksServer, Upstream, soon, until,
};

const CONNECT: &str = "CONNECT origin.practice:80 HTTP/1.1\r\nHost: origin.practice:80\r\n\r\n";
const GET: &str = "GET http://origin.practice/hello HTTP/1.1\r\nHost: origin.practice\r\nConnection: close\r\n\r\n";

const OFFERS: [Offer; 3] = [Offer::Ntlm, Offer::Digest(DigestAlgorithm::Md5), Offer::Basic];
const SCHEMES: &str = "schemes = [\"negotiate\", \"ntlm\", \"digest\", \"basic\"]";
const MINUTE: Duration = Duration::from_secs(60);
const NEXT_TRIALS: Duration = Duration::from_secs(35 * 60);

fn office(offers: impl IntoIterator<Item = Offer>, state: &Path) -> OfficePlan {
    Office::with(offers).upstream(SCHEMES).relay(|plan| plan.state(state))
}

async fn ask(relay: &Relay, request: &str) -> u16 {
    relay.client().await.ask_head(request).await.status()
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

fn alice(password: &str) -> [Account; 1] {
    [Account::new("PRACTICE", "alice", password)]
}

/// A file that holds a password, and the plan's words for it.
fn password_file(directory: &Path, password: &str) -> (PathBuf, String) {
    let path = directory.join("password");
    fs::write(&path, password).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let words = format!("${{file:{}}}", path.display());
    (path, words)
}

/// Asks again and again, as programs do, until the answer is this one.
async fn until_status(relay: &Relay, request: &str, status: u16) {
    let asking = async { while ask(relay, request).await != status {} };
    soon("the status", asking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_by_fifty_at_a_time_and_not_again_after_a_restart() {
    for offer in OFFERS {
        for request in [CONNECT, GET] {
            let state = tempfile::tempdir().unwrap();
            let Office { origin: _origin, proxy, relay, .. } =
                office([offer], state.path()).password("wrong").start().await;
            let statuses = parallel(&relay, request, 50).await;
            assert_eq!(count(&statuses, 407), 50, "{offer:?} {request:.8} {statuses:?}");
            assert_eq!(proxy.record().logons().attempted, 1, "{offer:?} {request:.8}");
            let plan = relay.plan();
            let records = relay.stop().await;
            let ends = |end: &str| records.iter().filter(|record| record["end"] == end).count();
            assert_eq!((ends("credential_rejected"), ends("breaker_open")), (1, 49), "{offer:?} {request:.8}");
            assert!(records.iter().all(|record| !record.to_string().contains("alice")), "{records:?}");

            let relay = plan.start();
            let statuses = parallel(&relay, request, 50).await;
            assert_eq!(count(&statuses, 407), 50, "{offer:?} {request:.8}");
            assert_eq!(proxy.record().logons().attempted, 1, "{offer:?} {request:.8}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_scheme_and_wherever_it_is_asked_for_one_rejection_counts_for_all() {
    let state = tempfile::tempdir().unwrap();
    let combination = office(OFFERS, state.path()).password("wrong").start().await;
    assert_eq!(count(&parallel(&combination.relay, CONNECT, 50).await, 407), 50);
    assert_eq!(combination.logons().attempted, 1);

    let mut others = Vec::new();
    for offer in [OFFERS[0], OFFERS[1], OFFERS[2], OFFERS[0]] {
        others.push(Office::with([offer]).start().await);
    }
    let state = tempfile::tempdir().unwrap();
    let last = office([Offer::Ntlm], state.path()).password("wrong");
    let with_others =
        |plan: RelayPlan| others.iter().fold(plan, |plan, other| plan.upstream_with(other.proxy.addr(), SCHEMES));
    let last = last.relay(with_others).start().await;
    for request in [CONNECT, GET] {
        assert_eq!(count(&parallel(&last.relay, request, 25).await, 407), 25);
    }
    let attempted: u64 = others.iter().map(|other| other.logons().attempted).sum();
    assert_eq!(attempted + last.logons().attempted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_with_the_right_password_all_get_through() {
    for offer in OFFERS {
        let state = tempfile::tempdir().unwrap();
        let office = office([offer], state.path()).start().await;
        let statuses = parallel(&office.relay, CONNECT, 500).await;
        assert_eq!(count(&statuses, 200), 500, "{offer:?}");
        assert_eq!(office.logons().rejected, 0, "{offer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_password_works_by_itself_with_one_logon() {
    let state = tempfile::tempdir().unwrap();
    let (path, words) = password_file(state.path(), "wrong");
    let office = office([Offer::Ntlm], state.path()).password(&words).start().await;
    assert_eq!(count(&parallel(&office.relay, CONNECT, 20).await, 407), 20);
    fs::write(&path, PASSWORD).unwrap();
    until_status(&office.relay, CONNECT, 200).await;
    assert_eq!((office.logons().attempted, office.logons().accepted), (2, 1));
    assert_eq!(count(&parallel(&office.relay, CONNECT, 50).await, 200), 50);
    fs::write(&path, "wrong").unwrap();
    office.accounts.replace(alice("another"));
    assert_eq!(ask(&office.relay, CONNECT).await, 407);
    let before = office.logons().attempted;
    // The secret that was wrong before is read, and still known to be wrong.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(count(&parallel(&office.relay, CONNECT, 20).await, 407), 20);
    assert_eq!(office.logons().attempted, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_in_the_middle_of_a_burst_costs_at_most_what_is_in_flight() {
    for most in [1, 3, 8] {
        let state = tempfile::tempdir().unwrap();
        let plan = office([Offer::Ntlm], state.path()).relay(|plan| plan.key(&format!("max_logons = {most}")));
        let office = plan.start().await;
        assert_eq!(count(&parallel(&office.relay, CONNECT, 50).await, 200), 50);
        let mut clients = JoinSet::new();
        for _ in 0..100 {
            let mut client = office.relay.client().await;
            clients.spawn(async move { client.ask_head(CONNECT).await.status() });
        }
        let record = office.proxy.record();
        until("the burst", || record.logons().accepted > 60).await;
        office.accounts.replace(alice("another"));
        let statuses = clients.join_all().await;
        let rejected = usize::try_from(office.logons().rejected).unwrap();
        assert!(rejected <= most, "{rejected} of {most}");
        assert_eq!(rejected > 0, count(&statuses, 407) > 0);
        // And not one more.
        assert_eq!(count(&parallel(&office.relay, CONNECT, 20).await, 407), 20);
        assert!(usize::try_from(office.logons().rejected).unwrap() <= most.max(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_minute_of_silence_a_changed_password_costs_one_bad_logon() {
    let state = tempfile::tempdir().unwrap();
    let office = office([Offer::Ntlm], state.path()).start().await;
    assert_eq!(count(&parallel(&office.relay, CONNECT, 50).await, 200), 50);
    office.accounts.replace(alice("another"));
    office.relay.skip(MINUTE);
    assert_eq!(count(&parallel(&office.relay, CONNECT, 50).await, 407), 50);
    assert_eq!(office.logons().rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_of_the_upstreams_directory_it_works_again_without_a_person() {
    let state = tempfile::tempdir().unwrap();
    let office = office([Offer::Ntlm], state.path()).start().await;
    assert_eq!(ask(&office.relay, CONNECT).await, 200);
    office.accounts.replace([]);
    assert_eq!(ask(&office.relay, CONNECT).await, 407);
    for pause in [MINUTE, NEXT_TRIALS, NEXT_TRIALS] {
        let before = office.logons().attempted;
        assert_eq!(count(&parallel(&office.relay, CONNECT, 20).await, 407), 20);
        assert_eq!(office.logons().attempted, before);
        office.relay.skip(pause);
        assert_eq!(count(&parallel(&office.relay, CONNECT, 20).await, 407), 20);
        assert_eq!(office.logons().attempted, before + 1, "one trial after {pause:?}");
    }
    office.accounts.replace(alice(PASSWORD));
    office.relay.skip(NEXT_TRIALS);
    assert_eq!(count(&parallel(&office.relay, CONNECT, 50).await, 200), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_alone_rejects_what_another_takes_is_passed_over() {
    let state = tempfile::tempdir().unwrap();
    let first = Office::with([Offer::Ntlm]).start().await;
    let office =
        office([Offer::Ntlm], state.path()).relay(|plan| plan.upstream_with(first.proxy.addr(), SCHEMES)).start().await;
    assert_eq!(ask(&office.relay, CONNECT).await, 200);
    first.accounts.replace([]);
    assert_eq!(ask(&office.relay, CONNECT).await, 407);
    assert_eq!(office.logons().attempted, 0, "what one upstream rejects is shown to no other");
    // The first one goes away, so that the trial is the other's.
    first.proxy.stop();
    office.relay.skip(MINUTE);
    until_status(&office.relay, CONNECT, 200).await;
    assert_eq!((office.logons().attempted, office.logons().rejected), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_asks_for_it_gets_one_more_trial() {
    let state = tempfile::tempdir().unwrap();
    let office = office([Offer::Ntlm], state.path()).password("wrong").start().await;
    assert_eq!(count(&parallel(&office.relay, CONNECT, 20).await, 407), 20);
    State::at(Some(state.path().join("hallpass"))).raise_generation().unwrap();
    let trying = async {
        while office.logons().attempted < 2 {
            ask(&office.relay, CONNECT).await;
        }
    };
    soon("one more trial", trying).await;
    assert_eq!(count(&parallel(&office.relay, CONNECT, 50).await, 407), 50);
    assert_eq!(office.logons().attempted, 2);
    // The account was unlocked, or the password set back to what is configured.
    office.accounts.replace(alice("wrong"));
    let plan = office.relay.plan();
    office.relay.stop().await;
    State::at(Some(state.path().join("hallpass"))).raise_generation().unwrap();
    let relay = plan.start();
    assert_eq!(count(&parallel(&relay, CONNECT, 50).await, 200), 50);
}

/// Demands NTLM, says nothing to whoever proves a password first, and hangs up on the others.
async fn ponders() -> Upstream {
    let guard = Guard::new("NTLM");
    let is_first = AtomicBool::new(true);
    Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None if is_first.swap(false, Ordering::SeqCst) => Say::Silence,
        None => Say::HangUp,
    })
    .await
}

fn proofs(upstream: &Upstream) -> usize {
    upstream.types().into_iter().filter(|kind| *kind == 3).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_was_cut_short_is_not_repeated_within_a_minute_by_anybody() {
    let state = tempfile::tempdir().unwrap();
    let upstream = ponders().await;
    let plan = Relay::before(upstream.addr).state(state.path());
    let first = plan.clone().start();
    let mut client = first.client().await;
    client.send(CONNECT).await;
    until("the proof", || proofs(&upstream) == 1).await;
    // The process is gone before the answer came: nothing is told to anybody any more.
    drop(client);
    first.daemon.stop(std::future::ready(())).await;

    let second = plan.key("handshake_timeout = \"2s\"").start();
    let statuses = parallel(&second, CONNECT, 20).await;
    assert_eq!((count(&statuses, 407) + count(&statuses, 504), proofs(&upstream)), (20, 1));
    second.skip(Duration::from_secs(55));
    parallel(&second, CONNECT, 5).await;
    assert_eq!(proofs(&upstream), 1);
    second.skip(Duration::from_secs(6));
    parallel(&second, CONNECT, 20).await;
    assert_eq!(proofs(&upstream), 2, "it may have been counted, so there is one more");
    second.skip(MINUTE);
    parallel(&second, CONNECT, 5).await;
    assert_eq!(proofs(&upstream), 2);
    second.skip(NEXT_TRIALS);
    parallel(&second, CONNECT, 5).await;
    assert_eq!(proofs(&upstream), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_of_one_user_share_what_they_know() {
    let state = tempfile::tempdir().unwrap();
    let office = office([Offer::Ntlm], state.path()).password("wrong").start().await;
    let other = office.relay.plan().start();
    let (one, two) = tokio::join!(parallel(&office.relay, CONNECT, 25), parallel(&other, CONNECT, 25));
    assert_eq!((count(&one, 407), count(&two, 407)), (25, 25));
    assert_eq!(office.logons().attempted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_answer_holds_up_the_others_for_two_seconds_at_most() {
    let guard = Guard::new("NTLM");
    let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None if heard.head.line().contains("dead") => Say::Silence,
        None => Say::welcome(heard),
    })
    .await;
    let dead = CONNECT.replace("origin", "dead");
    let relay = Relay::before(upstream.addr).key("max_logons = 1").start();
    let mut unproven = relay.client().await;
    unproven.send(&*dead).await;
    until("the proof", || proofs(&upstream) == 1).await;
    let waiting = tokio::spawn({
        let mut client = relay.client().await;
        async move { client.ask_head(CONNECT).await.status() }
    });
    relay.skip(Duration::from_secs(9));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!waiting.is_finished() && proofs(&upstream) == 1, "as long as nobody knows the secret");
    relay.skip(Duration::from_secs(1));
    assert_eq!(soon("the other", waiting).await.unwrap(), 200);

    let mut proven = relay.client().await;
    proven.send(&*dead).await;
    until("the proof", || proofs(&upstream) == 3).await;
    let started = Instant::now();
    assert_eq!(ask(&relay, CONNECT).await, 200);
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(10), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_the_first_logon_costs_the_others_nothing() {
    let guard = Guard::new("NTLM");
    let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None if heard.head.line().contains("slow") => Say::Silence,
        None => Say::welcome(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    let mut client = relay.client().await;
    client.send(CONNECT.replace("origin", "slow")).await;
    until("the proof", || proofs(&upstream) == 1).await;
    drop(client);
    assert_eq!(ask(&relay, CONNECT).await, 200);
    assert_eq!(proofs(&upstream), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn impatient_clients_of_a_slow_upstream_do_not_take_the_verdict_on_a_good_password_with_them() {
    let get = GET.replace("Connection: close\r\n", "");
    for request in [CONNECT, &get] {
        let guard = Guard::new("NTLM");
        let (asked, may_answer) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let told = may_answer.clone();
        let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
            Some(value) => {
                Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
            }
            None if asked.fetch_add(1, Ordering::SeqCst) == 0 => Say::Silence,
            None => {
                // Not for ever, so that a failure of the test ends it.
                for _ in 0..500 {
                    if told.load(Ordering::SeqCst) {
                        break;
                    }
                    tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(10)));
                }
                Say::welcome(heard)
            }
        })
        .await;
        let relay = Relay::before(upstream.addr).start();
        for expected in [1, 2] {
            let mut client = relay.client().await;
            client.send(request).await;
            until("the proof", || proofs(&upstream) == expected).await;
            drop(client);
        }
        // Long enough for the relay to see that the second one has left, too.
        tokio::time::sleep(Duration::from_millis(500)).await;
        may_answer.store(true, Ordering::SeqCst);
        assert_eq!(ask(&relay, request).await, 200, "{request:.8}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_proxy_in_trouble_is_no_verdict_and_does_not_stop_the_next_request() {
    let guard = Guard::new("NTLM");
    let upstream = Upstream::start(move |heard| match guard.challenge(heard) {
        Some(value) => {
            Say::answer(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {value}\r\nContent-Length: 0\r\n\r\n"))
        }
        None if heard.head.line().contains("nowhere") => {
            Say::last("HTTP/1.1 503 No such name\r\nContent-Length: 0\r\n\r\n")
        }
        None => Say::welcome(heard),
    })
    .await;
    let relay = Relay::before(upstream.addr).start();
    assert_eq!(ask(&relay, &CONNECT.replace("origin", "nowhere")).await, 503);
    assert_eq!(ask(&relay, CONNECT).await, 200);
    assert_eq!(proofs(&upstream), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_for_a_socks_server_is_shown_once_too() {
    let origin = Upstream::start(Say::welcome).await;
    let login = Some(("PRACTICE\\alice".to_string(), "another".to_string()));
    let server = SocksServer::start(SocksPlan { login, ..SocksPlan::default() }, origin.addr).await;
    let url = format!("socks5://{}", server.addr);
    let relay = RelayPlan::default().upstream_at(&url, "schemes = [\"basic\"]").start();
    for request in [CONNECT, GET] {
        assert_eq!(count(&parallel(&relay, request, 25).await, 407), 25);
    }
    assert_eq!(server.seen().logins.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_set_apart_is_judged_by_itself() {
    for (apart, attempted) in [(false, 0), (true, 1)] {
        let state = tempfile::tempdir().unwrap();
        let directory = office([Offer::Ntlm], state.path()).password("wrong").start().await;
        assert_eq!(ask(&directory.relay, CONNECT).await, 407);
        let plan = directory.relay.plan();
        directory.relay.stop().await;
        let portal = Office::with([Offer::Digest(DigestAlgorithm::Md5)]).start().await;
        let relay = plan
            .without_upstreams()
            .upstream_with(portal.proxy.addr(), "credential = \"portal\"")
            .tables(&format!(
                "[credentials.portal]\nuser = 'PRACTICE\\alice'\npassword = 'wrong'\nseparate_account = {apart}"
            ))
            .start();
        assert_eq!(ask(&relay, CONNECT).await, 407);
        assert_eq!(portal.logons().attempted, attempted, "separate_account = {apart}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_says_how_the_account_stands_and_the_record_holds_no_password() {
    let state = tempfile::tempdir().unwrap();
    let office = office([Offer::Basic], state.path()).password("not-this-one").start().await;
    let status = async || -> Value {
        let answer = office.relay.client().await.ask("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        serde_json::from_str(answer.text()).unwrap()
    };
    assert_eq!(status().await["lockout"], serde_json::json!([]));
    assert_eq!(ask(&office.relay, CONNECT).await, 407);
    let page = status().await;
    let told = &page["lockout"][0];
    assert_eq!((told["account"].as_str(), told["reason"].as_str()), (Some("PRACTICE\\alice"), Some("rejected")));
    assert_eq!(told["upstream"], format!("http://{}", office.proxy.addr()));
    assert!(told["next_trial_seconds"].is_null() && told["since"].is_string(), "{told}");

    let record = fs::read_to_string(state.path().join("hallpass/lockout.json")).unwrap();
    assert!(record.contains("alice@practice"), "{record}");
    for shown in [page.to_string(), record] {
        assert!(!shown.contains("not-this-one"), "{shown}");
    }
    let answer = office.relay.client().await.ask(CONNECT).await;
    assert!(answer.text().contains("hallpass status --retry"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_record_cannot_be_written_one_trial_is_still_one() {
    let state = tempfile::tempdir().unwrap();
    // A file where the directory should be.
    fs::write(state.path().join("hallpass"), "").unwrap();
    let office = office([Offer::Ntlm], state.path()).password("wrong").start().await;
    assert_eq!(count(&parallel(&office.relay, CONNECT, 50).await, 407), 50);
    assert_eq!(office.logons().attempted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_replaced_or_removed_on_demand_is_used_no_more_although_it_is_still_good() {
    for removed in [false, true] {
        for request in [CONNECT, GET] {
            let state = tempfile::tempdir().unwrap();
            let (path, words) = password_file(state.path(), PASSWORD);
            let office = office([Offer::Ntlm], state.path()).password(&words).start().await;
            assert_eq!(count(&parallel(&office.relay, request, 20).await, 200), 20);
            match removed {
                true => {
                    fs::remove_file(&path).unwrap();
                    assert_eq!(ask(&office.relay, request).await, 200, "nobody has said anything");
                }
                false => fs::write(&path, "another").unwrap(),
            }
            State::at(Some(state.path().join("hallpass"))).raise_generation().unwrap();
            // A request that logs on may see it before the connections that are open are dropped.
            soon("all", async { while count(&parallel(&office.relay, request, 20).await, 407) < 20 {} }).await;
            let before = office.logons();
            // Once as it was found, and once more because somebody asked for it.
            let wanted = if removed { 0..=0 } else { 1..=2 };
            assert!(wanted.contains(&before.rejected), "{request:.8} {before:?}");
            assert_eq!(count(&parallel(&office.relay, request, 20).await, 407), 20);
            assert_eq!(office.logons(), before, "removed: {removed} {request:.8}");
        }
    }
}
