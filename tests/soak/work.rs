//! What clients do: each piece of work knows every byte that it must get.

use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::random::{Random, fill};
use crate::talk::{Outcome, Talk, failed, wrong};

/// Where clients go and who they are.
#[derive(Clone)]
pub struct Place {
    pub relay: SocketAddr,
    pub worker: u64,
}

/// Few, because the relay remembers what the script said of each URL, up to a number of thousands: what it keeps is not to
/// look like what it loses.
const LENGTHS: [u64; 8] = [1, 300, 5000, 1 << 14, 70_001, 400_000, 2 << 20, 8 << 20];
const SHORT_LENGTHS: [u64; 3] = [1, 1000, 1 << 16];
const LONG_LENGTHS: [u64; 3] = [1 << 20, 5_000_000, 16 << 20];
const EVENTS: [u64; 3] = [3, 10, 30];

pub const KINDS: [&str; 10] =
    ["echo", "get", "chunked", "post", "kept", "events", "leaves", "wrong", "forbidden", "paused"];

impl Place {
    fn web(&self) -> String {
        format!("w{}.web.practice", self.worker)
    }

    fn raw(&self) -> String {
        format!("w{}.raw.practice:7", self.worker)
    }

    pub async fn work(&self, kind: &str, random: &mut Random) -> Outcome {
        match kind {
            "echo" => self.echo(random).await,
            "get" => self.get(random.one_of(&LENGTHS), false).await,
            "chunked" => self.get(random.one_of(&LENGTHS), true).await,
            "post" => self.post(random).await,
            "kept" => self.kept(random).await,
            "events" => self.events(random.one_of(&EVENTS)).await,
            "leaves" => self.leaves(random).await,
            "wrong" => self.wrong(random).await,
            "forbidden" => self.forbidden().await,
            _ => self.paused(random).await,
        }
    }

    /// Random bytes to an echo and back through a tunnel, both ways at once, and an orderly end of both.
    async fn echo(&self, random: &mut Random) -> Outcome {
        let talk = Talk::tunnel(self.relay, &self.raw()).await?;
        echo_through(talk, random.next(), random.size(1, 4 << 20)).await
    }

    async fn get(&self, length: u64, chunked: bool) -> Outcome {
        let mut talk = Talk::begin(self.relay).await?;
        let path = format!("/big?bytes={length}&chunked={}", u8::from(chunked));
        self.pattern(&mut talk, &path, length).await
    }

    async fn pattern(&self, talk: &mut Talk, path: &str, length: u64) -> Outcome {
        let host = self.web();
        talk.send(format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let head = talk.head().await?;
        if head.status != 200 {
            return talk.refused("GET", &head).await;
        }
        let mut at = 0;
        talk.body(&head, |data| {
            for byte in data {
                if u64::from(*byte) != at % 251 {
                    return wrong(format!("byte {at} of a page is {byte}"));
                }
                at += 1;
            }
            Ok(())
        })
        .await?;
        if at == length { Ok(()) } else { wrong(format!("{at} of {length} bytes and a clean end")) }
    }

    async fn post(&self, random: &mut Random) -> Outcome {
        let length = if random.one_in(12) { random.size(1 << 20, 20 << 20) } else { random.size(1 << 10, 1 << 18) };
        let mut talk = Talk::begin(self.relay).await?;
        self.post_on(&mut talk, random.next(), length).await
    }

    async fn post_on(&self, talk: &mut Talk, name: u64, length: u64) -> Outcome {
        let host = self.web();
        let head = format!("POST http://{host}/digest HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        let (mut digest, mut room, mut at) = (Sha256::new(), vec![0; 64 << 10], 0);
        talk.send(head.as_bytes()).await?;
        while at < length {
            let part = room.len().min((length - at) as usize);
            fill(name, at, &mut room[..part]);
            digest.update(&room[..part]);
            talk.send(&room[..part]).await?;
            at += part as u64;
        }
        let head = talk.head().await?;
        if head.status != 200 {
            return talk.refused("POST", &head).await;
        }
        let mut page = Vec::new();
        talk.body(&head, |data| {
            page.extend_from_slice(data);
            Ok(())
        })
        .await?;
        let Ok(seen) = serde_json::from_slice::<serde_json::Value>(&page) else { return wrong("no JSON from /digest") };
        let sent: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if seen["sha256"] == sent && seen["length"] == length {
            Ok(())
        } else {
            wrong(format!("{length} bytes became {seen}"))
        }
    }

    /// Several requests on one connection.
    async fn kept(&self, random: &mut Random) -> Outcome {
        let mut talk = Talk::begin(self.relay).await?;
        for _ in 0..random.between(2, 12) {
            if random.one_in(2) {
                self.post_on(&mut talk, random.next(), random.size(1, 1 << 16)).await?;
            } else {
                let length = random.one_of(&SHORT_LENGTHS);
                self.pattern(&mut talk, &format!("/big?bytes={length}"), length).await?;
            }
        }
        Ok(())
    }

    async fn events(&self, count: u64) -> Outcome {
        let (mut talk, host) = (Talk::begin(self.relay).await?, self.web());
        let request = format!("GET http://{host}/sse?n={count}&ms=100 HTTP/1.1\r\nHost: {host}\r\n\r\n");
        talk.send(request.as_bytes()).await?;
        let head = talk.head().await?;
        if head.status != 200 {
            return talk.refused("GET", &head).await;
        }
        let mut text = Vec::new();
        talk.body(&head, |data| {
            text.extend_from_slice(data);
            Ok(())
        })
        .await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let numbers: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        if numbers == expected { Ok(()) } else { wrong(format!("events {numbers:?}")) }
    }

    /// In the middle of whatever it was.
    async fn leaves(&self, random: &mut Random) -> Outcome {
        let after = Duration::from_micros(random.size(50, 200_000));
        let begun = match random.between(0, 3) {
            0 => timeout(after, Talk::tunnel(self.relay, &self.raw())).await,
            1 => {
                let (mut talk, host) = (Talk::begin(self.relay).await?, self.web());
                talk.send(format!("GET http://{host}/big?bytes=50000000 HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
                    .await?;
                sleep(after).await;
                Ok(Ok(talk))
            }
            _ => {
                let (mut talk, host) = (Talk::begin(self.relay).await?, self.web());
                let head = "Content-Length: 10000000\r\n\r\nthe beginning of it";
                talk.send(format!("POST http://{host}/digest HTTP/1.1\r\nHost: {host}\r\n{head}").as_bytes()).await?;
                sleep(after).await;
                Ok(Ok(talk))
            }
        };
        if let (Ok(Ok(talk)), true) = (begun, random.one_in(2)) {
            talk.break_off();
        }
        Ok(())
    }

    /// What is no request is refused, and by nobody but the relay.
    async fn wrong(&self, random: &mut Random) -> Outcome {
        let text = match random.between(0, 6) {
            0 => "\u{16}\u{3}\u{1} hello".into(),
            1 => "GET / HTTP/1.1\r\nHost: foreign.example\r\n\r\n".into(),
            2 => "POST http://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            3 => "CONNECT nowhere HTTP/1.1\r\nHost: nowhere\r\n\r\n".into(),
            4 => format!("GET http://h/ HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(100_000)),
            _ => "GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n".into(),
        };
        let mut talk = Talk::begin(self.relay).await?;
        // The answer may be there before the end of the flood.
        let _ = talk.send(text.as_bytes()).await;
        match talk.head().await?.status {
            400 | 421 | 431 => Ok(()),
            status => wrong(format!("{status} to {:?}", text.get(..40))),
        }
    }

    async fn forbidden(&self) -> Outcome {
        let (mut talk, target) = (Talk::begin(self.relay).await?, format!("w{}.denied.practice:443", self.worker));
        talk.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
        let head = talk.head().await?;
        match head.status {
            403 => Ok(()),
            200 => wrong("a tunnel to a forbidden host"),
            _ => talk.refused("CONNECT", &head).await,
        }
    }

    /// A reader that stops for a while gets all of it.
    async fn paused(&self, random: &mut Random) -> Outcome {
        let (length, host) = (random.one_of(&LONG_LENGTHS), self.web());
        let mut talk = Talk::begin(self.relay).await?;
        talk.send(format!("GET http://{host}/big?bytes={length} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let head = talk.head().await?;
        if head.status != 200 {
            return talk.refused("GET", &head).await;
        }
        sleep(Duration::from_millis(random.between(100, 3000))).await;
        let mut count = 0;
        talk.body(&head, |data| {
            count += data.len() as u64;
            Ok(())
        })
        .await?;
        if count == length { Ok(()) } else { wrong(format!("{count} of {length} bytes after a pause")) }
    }

    /// A tunnel that says nothing for a while, as a WebSocket does, and then is alive.
    pub async fn silence(&self, random: &mut Random, longest: Duration) -> Outcome {
        let talk = Talk::tunnel(self.relay, &self.raw()).await?;
        let longest = longest.as_millis() as u64;
        sleep(Duration::from_millis(random.between(longest / 4, longest))).await;
        echo_through(talk, random.next(), random.size(1, 4096)).await
    }
}

async fn echo_through(mut talk: Talk, name: u64, length: u64) -> Outcome {
    let stream = &mut talk.stream;
    let (mut from, mut to) = stream.split();
    let sending = async {
        let (mut room, mut at) = (vec![0; 32 << 10], 0);
        while at < length {
            let part = room.len().min((length - at) as usize);
            fill(name, at, &mut room[..part]);
            to.write_all(&room[..part]).await?;
            at += part as u64;
        }
        to.shutdown().await
    };
    let receiving = async {
        let (mut room, mut expected, mut at) = (vec![0; 32 << 10], vec![0; 32 << 10], 0);
        loop {
            let read = tokio::io::AsyncReadExt::read(&mut from, &mut room).await?;
            if read == 0 {
                return if at == length {
                    Ok(())
                } else {
                    failed(format!("tunnel ended {}", if at == 0 { "at once" } else { "early" }))
                };
            }
            fill(name, at, &mut expected[..read]);
            if room[..read] != expected[..read] {
                return wrong(format!("echo differs between {at} and {}", at + read as u64));
            }
            at += read as u64;
        }
    };
    let (sent, received) = tokio::join!(sending, receiving);
    received?;
    Ok(sent?)
}
