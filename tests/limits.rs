//! What a crowd, a flood or a pause costs the relay: the real binary with limits of its own, measured from /proc.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(20);

const MIB: usize = 1024 * 1024;

const CONNECT: &str = "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n";
const WELCOME: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

async fn soon<T>(what: &str, fact: impl Future<Output = T>) -> T {
    timeout(PATIENCE, fact).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let looking = async {
        while !fact() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, looking).await;
}

/// The relay as a process; its log is read all the time.
struct Relay {
    child: Child,
    addr: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    home: TempDir,
}

impl Relay {
    /// `limits` are words of a shell, such as `ulimit -Sn 256`.
    fn start(limits: &str, upstream: &str, keys: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let audit = home.path().join("audit.log");
        let file = home.path().join("hallpass.toml");
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\n{keys}\n[upstreams.u]\nurl = \"http://{upstream}\"\n[audit]\nto = \"{}\"\n",
            audit.display()
        );
        fs::write(&file, text).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limits}\nexec \"$0\" serve --config \"$1\""), env!("CARGO_BIN_EXE_hallpass")])
            .arg(&file)
            .env_clear()
            .env("HOME", home.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let is_up = lines.by_ref().find(|line| line.contains("listening on ")).unwrap();
        let addr = is_up.rsplit(' ').next().unwrap().parse().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        Self { child, addr, log, home }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Ends of pipes among them.
    fn pipes(&self) -> usize {
        let all = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let is_pipe = |link: &std::path::PathBuf| link.to_string_lossy().starts_with("pipe:");
        all.filter_map(|one| fs::read_link(one.unwrap().path()).ok()).filter(is_pipe).count()
    }

    /// Bytes of memory in use.
    fn resident(&self) -> usize {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Time of the processors that it has had.
    fn processor_time(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let nanoseconds = threads.map(|thread| {
            let times = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap_or_default();
            times.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    fn said(&self, words: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }

    /// The ends of all audit records so far.
    fn ends(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home.path().join("audit.log")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let end = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["end"].as_str().map(Into::into);
        whole.lines().filter_map(end).collect()
    }

    fn limit_descriptors(&self, soft: u64) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap());
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(soft), maximum }).unwrap();
    }

    async fn client(&self) -> TcpStream {
        soon("connecting", TcpStream::connect(self.addr)).await.unwrap()
    }

    async fn tunnel(&self) -> TcpStream {
        let mut client = self.client().await;
        client.write_all(CONNECT.as_bytes()).await.unwrap();
        welcomed(&mut client).await;
        client
    }

    async fn status_of(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        soon("an answer", client.read_exact(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn welcomed(client: &mut TcpStream) {
    let mut answer = vec![0; WELCOME.len()];
    soon("the tunnel", client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, WELCOME, "{}", String::from_utf8_lossy(&answer));
}

async fn echoes(client: &mut TcpStream, word: &[u8]) {
    client.write_all(word).await.unwrap();
    let mut answer = vec![0; word.len()];
    soon("an echo", client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, word);
}

/// This test holds both ends of all connections.
fn raise_own_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    assert!(maximum.is_none_or(|maximum| maximum >= 5000), "the hard limit of open files is too low for this test");
}

/// Lets everybody through: a tunnel sends back what comes, a request is answered and its connection closed.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { answer(stream).await.ok() });
        }
    });
    addr
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let head = head(&mut stream).await?;
    if !head.starts_with("CONNECT ") {
        return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await.map(drop)
}

async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_of_256_open_files_is_no_limit_for_2000_tunnels() {
    const TUNNELS: usize = 2000;
    raise_own_limit();
    let relay = Arc::new(Relay::start("ulimit -Sn 256", &upstream().await.to_string(), ""));
    echoes(&mut relay.tunnel().await, b"before").await;
    until("quiet", || relay.ends().len() == 1).await;
    let before = (relay.resident(), relay.descriptors());
    let mut opening = JoinSet::new();
    let mut tunnels = Vec::new();
    for _ in 0..TUNNELS {
        let relay = relay.clone();
        opening.spawn(async move { relay.tunnel().await });
        if opening.len() >= 100 {
            tunnels.push(opening.join_next().await.unwrap().unwrap());
        }
    }
    tunnels.extend(opening.join_all().await);
    for (number, tunnel) in tunnels.iter_mut().enumerate() {
        echoes(tunnel, format!("tunnel {number}").as_bytes()).await;
    }
    let each = (relay.resident() - before.0) / TUNNELS;
    println!("{TUNNELS} tunnels, {} open files, {each} bytes of memory each", relay.descriptors());
    assert!(relay.descriptors() >= before.1 + 2 * TUNNELS);
    assert!(each < 32 * 1024, "{each}");
    drop(tunnels);
    until("all records", || relay.ends().len() == 1 + TUNNELS).await;
    until("all descriptors back", || relay.descriptors() <= before.1).await;
}

/// Each has said something once. The first thousand is not measured: what the process makes once says nothing about a
/// tunnel.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_tunnels_hold_some_kilobytes_each_and_two_descriptors() {
    const TUNNELS: usize = 1000;
    /// Five times what is measured in an unoptimised build.
    const MOST: usize = 16 * 1024;
    raise_own_limit();
    let relay = Relay::start("true", &upstream().await.to_string(), "");
    let mut tunnels = Vec::new();
    let mut open = async |count| {
        for _ in 0..count {
            let mut tunnel = relay.tunnel().await;
            echoes(&mut tunnel, b"once").await;
            tunnels.push(tunnel);
        }
    };
    open(TUNNELS).await;
    let before = (relay.resident(), relay.descriptors());
    open(TUNNELS).await;
    let each = relay.resident().saturating_sub(before.0) / TUNNELS;
    println!("{each} bytes of memory each");
    assert!((1..MOST).contains(&each), "{each}");
    assert_eq!(relay.descriptors() - before.1, 2 * TUNNELS);
}

/// The pipes are the threads', and no more for more tunnels.
#[tokio::test(flavor = "multi_thread")]
async fn much_goes_through_pipes_of_which_the_silent_tunnels_keep_none() {
    const TUNNELS: usize = 8;
    const EACH: usize = 32;
    /// As many as all threads together may keep for what comes next.
    const MOST_KEPT: usize = 64;
    let relay = Relay::start("true", &upstream().await.to_string(), "");
    let mut tunnels = Vec::new();
    for _ in 0..TUNNELS {
        let mut tunnel = relay.tunnel().await;
        echoes(&mut tunnel, b"little").await;
        tunnels.push(tunnel);
    }
    let before = relay.pipes();
    let mut moving = JoinSet::new();
    for mut tunnel in tunnels {
        moving.spawn(async move {
            let (mut from, mut to) = tunnel.split();
            let sending = async {
                for number in 0..EACH {
                    to.write_all(&vec![u8::try_from(number).unwrap(); MIB]).await.unwrap();
                }
            };
            let hearing = async {
                let mut heard = vec![0; MIB];
                for number in 0..EACH {
                    from.read_exact(&mut heard).await.unwrap();
                    assert!(heard.iter().all(|byte| usize::from(*byte) == number));
                }
            };
            tokio::join!(sending, hearing);
            tunnel
        });
    }
    let tunnels = soon("all bytes back", moving.join_all()).await;
    let kept = relay.pipes() - before;
    println!("{kept} ends of pipes after {} MiB each way", TUNNELS * EACH);
    assert!((1..=MOST_KEPT).contains(&kept), "{kept}");
    drop(tunnels);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_64_open_files_in_all_a_crowd_waits_and_is_served_in_turn() {
    const CROWD: usize = 300;
    let relay = Relay::start("ulimit -Sn 64; ulimit -Hn 64", &upstream().await.to_string(), "");
    let served = Arc::new(AtomicUsize::new(0));
    let leave = Arc::new(tokio::sync::Semaphore::new(0));
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let mut client = relay.client().await;
        let (served, leave) = (served.clone(), leave.clone());
        crowd.spawn(async move {
            client.write_all(CONNECT.as_bytes()).await.unwrap();
            let mut answer = vec![0; WELCOME.len()];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, WELCOME, "{}", String::from_utf8_lossy(&answer));
            served.fetch_add(1, Ordering::SeqCst);
            leave.acquire().await.unwrap().forget();
            echoes(&mut client, b"still here").await;
        });
    }
    until("the first tunnels", || served.load(Ordering::SeqCst) >= 10).await;
    let (spent, began) = (relay.processor_time(), Instant::now());
    sleep(Duration::from_secs(1)).await;
    let spent = relay.processor_time() - spent;
    let at_once = served.load(Ordering::SeqCst);
    println!("{at_once} of {CROWD} at once, {spent:?} of {:?} while all others wait", began.elapsed());
    assert!(at_once < CROWD && spent < Duration::from_millis(250), "{at_once} {spent:?}");
    assert_eq!(relay.said("limit of open files"), 1, "{:?}", relay.log);
    leave.add_permits(CROWD);
    while let Some(client) = soon("everybody's turn", crowd.join_next()).await {
        client.unwrap();
    }
    echoes(&mut relay.tunnel().await, b"afterwards").await;
    assert_eq!(relay.ends().iter().filter(|end| *end != "done").count(), 0, "{:?}", relay.ends());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_64_open_files_in_all_clients_that_ask_for_nothing_make_room_for_those_that_do() {
    let relay = Relay::start("ulimit -Sn 64; ulimit -Hn 64", &upstream().await.to_string(), "");
    let mut all = Vec::new();
    for number in 0..100 {
        let mut client = relay.client().await;
        // Every third never says a word.
        if number % 3 > 0 {
            client.write_all(b"GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n").await.unwrap();
            assert!(soon("an answer", head(&mut client)).await.unwrap().starts_with("HTTP/1.1 200 "), "{number}");
        }
        all.push(client);
    }
    echoes(&mut relay.tunnel().await, b"and a tunnel").await;
    let mut stay = 0;
    for client in &mut all {
        let mut rest = [0; 3];
        let ended = async {
            // What is left of an answer stands before the end.
            while client.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        };
        stay += usize::from(timeout(Duration::from_millis(5), ended).await.is_err());
    }
    println!("{stay} of 100 idle clients are still there");
    assert!((5..=20).contains(&stay), "only as many left as had to: {stay}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_descriptor_left_it_neither_spins_nor_floods_the_log_nor_dies() {
    let relay = Relay::start("true", &upstream().await.to_string(), "");
    echoes(&mut relay.tunnel().await, b"before").await;
    until("quiet", || relay.ends().len() == 1).await;
    relay.limit_descriptors(1);
    let mut crowd = Vec::new();
    for _ in 0..50 {
        let mut client = relay.client().await;
        client.write_all(CONNECT.as_bytes()).await.unwrap();
        crowd.push(client);
    }
    until("a word about it", || relay.said("cannot accept") == 1).await;
    let spent = relay.processor_time();
    sleep(Duration::from_secs(1)).await;
    let spent = relay.processor_time() - spent;
    println!("{spent:?} of a second without descriptors");
    assert!(spent < Duration::from_millis(250), "{spent:?}");
    assert_eq!(relay.said("cannot accept"), 1);
    relay.limit_descriptors(4096);
    for client in &mut crowd {
        welcomed(client).await;
        echoes(client, b"after all").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_without_a_descriptor_is_our_shortage_and_no_dead_hop() {
    // A name has to be resolved, which takes a descriptor too.
    for host in ["127.0.0.1", "localhost"] {
        let relay = Relay::start("true", &format!("{host}:{}", upstream().await.port()), "");
        for request in [CONNECT, "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n"] {
            let before = relay.ends().len();
            let mut client = relay.client().await;
            client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            assert!(head(&mut client).await.unwrap().contains(" 200 "));
            client.read_exact(&mut [0; 6]).await.unwrap();
            relay.limit_descriptors(0);
            client.write_all(request.as_bytes()).await.unwrap();
            let answer = head(&mut client).await.unwrap();
            relay.limit_descriptors(4096);
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: "), "{host} {answer}");
            until("its record", || relay.ends().len() == before + 1).await;
            assert_eq!(relay.ends()[before], "limit");
            assert_eq!(relay.status_of(request).await, "200", "the hop is not dead");
            until("its record", || relay.ends().len() == before + 2).await;
        }
        assert_eq!(relay.said("hop is back"), 0, "{:?}", relay.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_short_connections_leave_nothing_behind() {
    const CLIENTS: usize = 5000;
    let relay = Arc::new(Relay::start("true", &upstream().await.to_string(), ""));
    let get = "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n";
    assert_eq!(relay.status_of(get).await, "200");
    let mut after = Vec::new();
    let mut idle = 0;
    for round in 0..2 {
        let next = Arc::new(AtomicUsize::new(0));
        let mut crowd = JoinSet::new();
        for _ in 0..50 {
            let (relay, next) = (relay.clone(), next.clone());
            crowd.spawn(async move {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        CLIENTS.. => return,
                        number if number % 2 == 0 => assert_eq!(relay.status_of(get).await, "200"),
                        _ => echoes(&mut relay.tunnel().await, b"short").await,
                    }
                }
            });
        }
        while let Some(client) = crowd.join_next().await {
            client.unwrap();
        }
        until("all records", || relay.ends().len() == 1 + CLIENTS * (round + 1)).await;
        let mut last = usize::MAX;
        until("descriptors that grow no fewer", || std::mem::replace(&mut last, relay.descriptors()) == last).await;
        after.push(relay.resident());
        match round {
            0 => idle = relay.descriptors(),
            _ => assert!(relay.descriptors() <= idle, "{} and {idle} before", relay.descriptors()),
        }
    }
    let growth = 100.0 * (after[1] as f64 / after[0] as f64 - 1.0);
    println!("{} KiB after {CLIENTS} clients, {growth:+.1} % after as many again", after[0] / 1024);
    assert!(growth < 25.0, "{after:?}");
}

/// One way of moving 200 MiB: who speaks, and what is said before.
async fn stalls(request: &str, answer: &'static str, up: bool) -> (usize, usize) {
    const LENGTH: usize = 200 * MIB;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start("true", &listener.local_addr().unwrap().to_string(), "");
    let mut client = relay.client().await;
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut peer, _) = soon("the upstream's side", listener.accept()).await.unwrap();
    let asked = head(&mut peer).await.unwrap();
    peer.write_all(answer.as_bytes()).await.unwrap();
    if asked.starts_with("HEAD ") {
        // It looks first whether so long a body will be taken.
        head(&mut peer).await.unwrap();
    } else {
        head(&mut client).await.unwrap();
    }
    let before = relay.resident();
    let (mut from, mut to) = if up { (client, peer) } else { (peer, client) };
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let block: Arc<Vec<u8>> = Arc::new((0..MIB).map(|at| (at % 251) as u8).collect());
    let expected = block.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..LENGTH / MIB {
            let mut rest = block.as_slice();
            while !rest.is_empty() {
                let taken = from.write(rest).await.unwrap();
                counter.fetch_add(taken, Ordering::Relaxed);
                rest = &rest[taken..];
            }
        }
        from
    });
    let (mut last, mut since) = (0, Instant::now());
    let mut most = before;
    until("nothing moves any more", || {
        let now = sent.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        most = most.max(relay.resident());
        since.elapsed() > Duration::from_millis(300)
    })
    .await;
    assert!(last < LENGTH / 2, "somebody holds {last} bytes");
    let mut room = vec![0; MIB];
    for _ in 0..LENGTH / MIB {
        soon("the next MiB", to.read_exact(&mut room)).await.unwrap();
        assert!(room == *expected, "wrong bytes");
        most = most.max(relay.resident());
    }
    drop(sending.await.unwrap());
    (last, most.saturating_sub(before))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_reading_200_mib_costs_less_than_2_mib() {
    let get = "GET http://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n";
    let put = "PUT http://h.test/ HTTP/1.1\r\nHost: h.test\r\nContent-Length: 209715200\r\n\r\n";
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n";
    let plays = [
        ("a client in a tunnel", CONNECT, "HTTP/1.1 200 OK\r\n\r\n", false),
        ("an upstream in a tunnel", CONNECT, "HTTP/1.1 200 OK\r\n\r\n", true),
        ("a client of an answer", get, whole, false),
        ("an upstream of a body", put, "HTTP/1.1 200 OK\r\n\r\n", true),
    ];
    for (who, request, answer, up) in plays {
        let (held, growth) = stalls(request, answer, up).await;
        println!("{who}: {} KiB of memory, {} KiB in the kernel's buffers", growth / 1024, held / 1024);
        assert!(growth < 2 * MIB, "{who}: {growth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_who_say_nothing_cost_little_and_hold_up_nobody() {
    const SILENT: usize = 3000;
    raise_own_limit();
    let relay = Relay::start("true", &upstream().await.to_string(), "max_clients = 3010");
    echoes(&mut relay.tunnel().await, b"before").await;
    until("quiet", || relay.ends().len() == 1).await;
    let (memory, descriptors) = (relay.resident(), relay.descriptors());
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(relay.client().await);
    }
    until("all accepted", || relay.descriptors() >= descriptors + SILENT).await;
    let each = (relay.resident() - memory) / SILENT;
    println!("{each} bytes of memory for each who says nothing");
    assert!(each < 16 * 1024, "{each}");
    let began = Instant::now();
    echoes(&mut relay.tunnel().await, b"meanwhile").await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for _ in 0..20 {
        silent.push(relay.client().await);
    }
    // They are counted as they are looked at, in no order.
    soon("the limit for them too", async { while relay.status_of(CONNECT).await != "503" {} }).await;
    drop(silent);
    until("all descriptors back", || relay.descriptors() <= descriptors).await;
    echoes(&mut relay.tunnel().await, b"after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_a_head_byte_by_byte_is_sent_away_and_nobody_waits_for_it() {
    let relay = Relay::start("true", &upstream().await.to_string(), "head_timeout = \"1s\"");
    let mut slow = JoinSet::new();
    for _ in 0..200 {
        let mut client = relay.client().await;
        slow.spawn(async move {
            let began = Instant::now();
            let mut heard = [0; 12];
            let mut words = "GET http://h.test/ HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'x'));
            loop {
                tokio::select! {
                    read = client.read_exact(&mut heard) => break assert_eq!(read.unwrap(), 12),
                    () = sleep(Duration::from_millis(20)) => drop(client.write_all(&[words.next().unwrap()]).await),
                }
            }
            (heard, began.elapsed())
        });
    }
    echoes(&mut relay.tunnel().await, b"meanwhile").await;
    while let Some(client) = slow.join_next().await {
        let (heard, took) = client.unwrap();
        assert_eq!(&heard, b"HTTP/1.1 408");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_never_finished_costs_no_more_than_a_head_may() {
    const CLIENTS: usize = 300;
    let relay = Relay::start("true", &upstream().await.to_string(), "");
    echoes(&mut relay.tunnel().await, b"before").await;
    let before = relay.resident();
    let head = format!("GET http://h.test/ HTTP/1.1\r\nX: {}", "x".repeat(60 * 1024));
    let mut flood = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = relay.client().await;
        client.write_all(head.as_bytes()).await.unwrap();
        flood.push(client);
    }
    echoes(&mut relay.tunnel().await, b"meanwhile").await;
    let each = relay.resident().saturating_sub(before) / CLIENTS;
    println!("{} KiB for each head of 60 KiB without an end", each / 1024);
    assert!(each < 5 * 64 * 1024, "{each}");
    // With the bytes that are one too many it is over.
    for client in &mut flood {
        client.write_all(&[b'x'; 8 * 1024]).await.unwrap();
        let mut answer = [0; 12];
        soon("an answer", client.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}
