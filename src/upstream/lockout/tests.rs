//! The breaker against crowds of requests, without any upstream.

use std::sync::atomic::AtomicU32;

use tokio::task::{JoinSet, yield_now};

use super::*;
use crate::auth::lockout::{AccountName, Verdict};
use crate::secret::Secret;

const UPSTREAM: &str = "http://proxy.test:8080";

struct Account {
    name: AccountName,
    password: Mutex<&'static str>,
    kept: Mutex<Option<Proof>>,
    reads: AtomicU32,
    generation: AtomicU64,
}

impl Account {
    fn with(password: &'static str) -> Arc<Self> {
        let name = AccountName::of_user(&"CORP\\alice".parse().unwrap(), None);
        Arc::new(Self {
            name,
            password: Mutex::new(password),
            kept: Mutex::default(),
            reads: AtomicU32::new(0),
            generation: AtomicU64::new(0),
        })
    }

    fn fetch(&self) -> Proof {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Proof::Password(Secret::new(*self.password.lock().unwrap()))
    }
}

impl Stake for Account {
    fn account(&self) -> &AccountName {
        &self.name
    }

    fn known(&self) -> Option<Proof> {
        self.kept.lock().unwrap().clone()
    }

    fn read(&self) -> Result<Proof, MechanismError> {
        let mut kept = self.kept.lock().unwrap();
        Ok(kept.get_or_insert_with(|| self.fetch()).clone())
    }

    fn read_anew(&self) -> Result<Proof, MechanismError> {
        let proof = self.fetch();
        *self.kept.lock().unwrap() = Some(proof.clone());
        Ok(proof)
    }

    fn freshen(&self) {}

    fn renew(&self, generation: u64) {
        if self.generation.fetch_max(generation, Ordering::SeqCst) < generation {
            *self.kept.lock().unwrap() = None;
        }
    }
}

/// A record that two processes share.
#[derive(Default)]
struct Shelf {
    bytes: Mutex<Option<Vec<u8>>>,
    generation: AtomicU64,
}

impl Shelf {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone().unwrap_or_default()).unwrap()
    }
}

impl Store for Shelf {
    fn read(&self) -> Option<Vec<u8>> {
        self.bytes.lock().unwrap().clone()
    }

    fn update(&self, change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>) -> io::Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        if let Some(changed) = change(bytes.clone()) {
            *bytes = Some(changed);
        }
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }
}

fn on(shelf: &Arc<Shelf>) -> Lockout {
    Lockout::new(Some(shelf.clone()))
}

const SOON: Duration = Duration::from_secs(5);

async fn judge(leave: Leave, verdict: Verdict) {
    spawn_blocking(move || leave.permit().judge(verdict)).await.unwrap();
}

async fn admit(lockout: &Lockout, account: &Arc<Account>) -> Result<Leave, NoLeave> {
    let stake: Arc<dyn Stake> = account.clone();
    lockout.admit(&stake, UPSTREAM, Scheme::Ntlm).await
}

/// One request that shows its secret and hears what this upstream thinks of it.
async fn log_on(lockout: &Lockout, account: &Arc<Account>, good: &'static str, flight: &Flight) -> bool {
    let Ok(leave) = admit(lockout, account).await else { return false };
    leave.permit().show();
    flight.begins();
    for _ in 0..3 {
        yield_now().await;
    }
    flight.ends();
    let Proof::Password(password) = leave.proof() else { panic!() };
    let is_good = password.expose() == good;
    flight.bad.fetch_add(usize::from(!is_good), Ordering::Relaxed);
    let verdict = if is_good { Verdict::Accepted } else { Verdict::Rejected };
    let judged = spawn_blocking(move || leave.permit().judge(verdict));
    judged.await.unwrap();
    is_good
}

/// How many were in flight at once, and how many were bad.
#[derive(Default)]
struct Flight {
    now: AtomicUsize,
    most: AtomicUsize,
    bad: AtomicUsize,
}

impl Flight {
    fn begins(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn ends(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn crowd(
    lockout: &Arc<Lockout>,
    account: &Arc<Account>,
    count: usize,
    good: &'static str,
) -> (usize, Arc<Flight>) {
    let flight = Arc::new(Flight::default());
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (lockout, account, flight) = (lockout.clone(), account.clone(), flight.clone());
        clients.spawn(async move { log_on(&lockout, &account, good, &flight).await });
    }
    let through = clients.join_all().await.into_iter().filter(|through| *through).count();
    (through, flight)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_in_flight_than_the_window_allows() {
    for most in [1, 2, 8] {
        let lockout = Arc::new(Lockout::default());
        lockout.allow_at_a_time(most);
        let (through, flight) = crowd(&lockout, &Account::with("good"), 300, "good").await;
        assert_eq!(through, 300);
        assert!(
            flight.most.load(Ordering::SeqCst) <= most,
            "{flight} of {most}",
            flight = flight.most.load(Ordering::SeqCst)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_logon_is_all_that_a_wrong_secret_costs_and_it_is_not_read_for_each_request() {
    let lockout = Arc::new(Lockout::default());
    let account = Account::with("bad");
    for _ in 0..3 {
        let (through, flight) = crowd(&lockout, &account, 100, "good").await;
        assert_eq!(through, 0);
        lockout.skip(READ_ANEW / 2);
        assert!(flight.bad.load(Ordering::Relaxed) <= 1);
    }
    assert!(account.reads.load(Ordering::Relaxed) <= 4, "{:?}", account.reads);
    *account.password.lock().unwrap() = "good";
    lockout.skip(READ_ANEW);
    let (through, flight) = crowd(&lockout, &account, 100, "good").await;
    // Who asks while it is being read is told what is known.
    assert!(through > 0 && flight.bad.load(Ordering::Relaxed) == 0, "{through}");
    assert_eq!(crowd(&lockout, &account, 100, "good").await.0, 100);
    assert_eq!(lockout.troubles(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_or_never_shows_anything_takes_no_place() {
    let lockout = Arc::new(Lockout::default());
    let account = Account::with("good");
    let held = admit(&lockout, &account).await.unwrap();
    for _ in 0..20 {
        assert!(timeout(Duration::from_millis(5), admit(&lockout, &account)).await.is_err());
    }
    assert_eq!(lockout.shared.waiting.load(Ordering::SeqCst), 0);
    drop(held);
    let (through, _) = crowd(&lockout, &account, 20, "good").await;
    assert_eq!(through, 20, "a trial that was never made is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_wait() {
    let lockout = Arc::new(Lockout::default());
    let account = Account::with("good");
    let held = admit(&lockout, &account).await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..MAX_WAITING {
        let (lockout, account) = (lockout.clone(), account.clone());
        waiting.spawn(async move { admit(&lockout, &account).await.is_ok() });
    }
    while lockout.shared.waiting.load(Ordering::SeqCst) < MAX_WAITING {
        yield_now().await;
    }
    assert!(matches!(admit(&lockout, &account).await, Err(NoLeave::Refused(Refusal::Crowded))));
    held.permit().show();
    spawn_blocking(move || held.permit().judge(Verdict::Rejected)).await.unwrap();
    assert!(waiting.join_all().await.into_iter().all(|admitted| !admitted), "all are told at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_the_record_already_waits_for_another_process_that_tries() {
    let shelf = Arc::new(Shelf::default());
    let (one, other) = (on(&shelf), on(&shelf));
    let account = Account::with("bad");
    drop(admit(&other, &account).await.unwrap());
    let taken_back = async {
        while !shelf.text().contains("\"failures\": 0") {
            yield_now().await;
        }
    };
    timeout(SOON, taken_back).await.unwrap();
    let trial = admit(&one, &account).await.unwrap();
    trial.permit().show();
    let waiting = timeout(Duration::from_secs(1), admit(&other, &account)).await;
    assert!(waiting.is_err(), "{waiting:?}");
    judge(trial, Verdict::Rejected).await;
    let told = timeout(SOON, admit(&other, &account)).await.unwrap();
    assert!(matches!(&told, Err(NoLeave::Refused(Refusal::Closed(closed))) if closed.rejected), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_from_the_future_has_nobody_wait_for_a_process_that_is_not_there() {
    let shelf = Arc::new(Shelf::default());
    let account = Account::with("good");
    let trial = admit(&on(&shelf), &account).await.unwrap();
    trial.permit().show();
    trial.permit().lose();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // The clock was a day ahead when it was written.
    let text = shelf.text();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["accounts"]["alice@corp"]["entries"][0]["trials"]["last"] = (now + 86_400).into();
    *shelf.bytes.lock().unwrap() = Some(record.to_string().into_bytes());
    let later = on(&shelf);
    let told = timeout(SOON, admit(&later, &account)).await.unwrap();
    assert!(matches!(&told, Err(NoLeave::Refused(Refusal::Closed(_)))), "{told:?}");
    later.skip(Duration::from_secs(61));
    assert!(timeout(SOON, admit(&later, &account)).await.unwrap().is_ok(), "a minute by our own clock is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leave_that_nothing_is_shown_with_keeps_the_others_waiting_no_longer_than_a_verdict_that_does_not_come() {
    let lockout = Lockout::default();
    lockout.allow_at_a_time(1);
    let account = Account::with("good");
    let first = admit(&lockout, &account).await.unwrap();
    first.permit().show();
    judge(first, Verdict::Accepted).await;
    // Its upstream passed the request on without asking for more, and the origin takes its time.
    let unused = admit(&lockout, &account).await.unwrap();
    assert!(timeout(Duration::from_millis(100), admit(&lockout, &account)).await.is_err());
    lockout.skip(Duration::from_secs(2));
    let second = timeout(SOON, admit(&lockout, &account)).await.expect("a place").unwrap();
    second.permit().show();
    judge(second, Verdict::Accepted).await;
    // Asked for more after all, it counts among those in flight.
    unused.permit().show();
    assert!(timeout(Duration::from_millis(100), admit(&lockout, &account)).await.is_err());
    judge(unused, Verdict::Accepted).await;
    assert!(timeout(SOON, admit(&lockout, &account)).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fresh_start_no_credential_of_the_account_shows_what_it_had_read_before() {
    let shelf = Arc::new(Shelf::default());
    let lockout = on(&shelf);
    let (first, second) = (Account::with("bad"), Account::with("bad"));
    let trial = admit(&lockout, &first).await.unwrap();
    trial.permit().show();
    judge(trial, Verdict::Rejected).await;
    assert!(admit(&lockout, &second).await.is_err());
    for account in [&first, &second] {
        *account.password.lock().unwrap() = "good";
    }
    shelf.generation.store(1, Ordering::SeqCst);
    let seen = async { while lockout.generation().await < 1 {} };
    timeout(SOON, seen).await.unwrap();
    for account in [&second, &first] {
        let leave = timeout(SOON, admit(&lockout, account)).await.unwrap().unwrap();
        assert!(*leave.proof() == Proof::Password(Secret::new("good")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_was_made_and_not_sent_never_was() {
    let shelf = Arc::new(Shelf::default());
    let lockout = on(&shelf);
    let account = Account::with("good");
    for _ in 0..3 {
        let trial = timeout(SOON, admit(&lockout, &account)).await.unwrap().unwrap();
        trial.permit().show();
        trial.permit().withhold();
    }
    let sent = timeout(SOON, admit(&lockout, &account)).await.unwrap().unwrap();
    sent.permit().show();
    sent.permit().show();
    sent.permit().withhold();
    drop(sent);
    assert!(shelf.text().contains("\"failures\": 1"), "what went out once may have been judged: {}", shelf.text());
}

/// A disk that takes its time.
struct Slow(Arc<Shelf>);

impl Store for Slow {
    fn read(&self) -> Option<Vec<u8>> {
        self.0.read()
    }

    fn update(&self, change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(50));
        self.0.update(change)
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }
}

#[tokio::test]
async fn whoever_ends_after_a_verdict_can_wait_until_it_is_on_disk() {
    let shelf = Arc::new(Shelf::default());
    let (lockout, account) = (Lockout::new(Some(Arc::new(Slow(shelf.clone())))), Account::with("right"));
    let leave = admit(&lockout, &account).await.unwrap();
    leave.permit().show();
    let begun = shelf.text();
    leave.permit().judge(Verdict::Accepted);
    assert_eq!(shelf.text(), begun, "a verdict that is good news holds nobody up");
    tokio::time::timeout(SOON, lockout.written()).await.unwrap();
    assert_ne!(shelf.text(), begun);
}
