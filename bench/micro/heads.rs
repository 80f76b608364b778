//! The head codec: from bytes to a head and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use hallpass::http1::head::end_of_head;
use hallpass::http1::{RequestHead, ResponseHead};

const CONNECT: &[u8] =
    b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nUser-Agent: curl/8.5.0\r\n\
    Proxy-Connection: Keep-Alive\r\n\r\n";

const GET: &[u8] =
    b"GET http://mirror.example.com/debian/dists/bookworm/InRelease HTTP/1.1\r\nHost: mirror.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
    If-Modified-Since: Tue, 14 May 2024 08:00:00 GMT\r\nCache-Control: max-age=0\r\n\r\n";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Tue, 14 May 2024 08:00:00 GMT\r\nServer: Apache\r\n\
    Last-Modified: Mon, 13 May 2024 21:10:00 GMT\r\nETag: \"24edb-6185a3b7\"\r\nAccept-Ranges: bytes\r\n\
    Content-Length: 151259\r\nCache-Control: public, max-age=120\r\nContent-Type: text/plain\r\nVia: 1.1 varnish\r\n\
    Connection: keep-alive\r\n\r\n";

const CHALLENGE: &[u8] = include_bytes!("../../tests/data/heads/squid-5-407-ntlm-challenge.txt");

pub fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("heads");
    let requests = [("a CONNECT", CONNECT), ("a browser's GET", GET)];
    for (name, bytes) in requests {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{name}, read"), |bencher| {
            bencher.iter(|| RequestHead::parse(&bytes[..whole(bytes)]).unwrap());
        });
        let head = RequestHead::parse(bytes).unwrap();
        group.bench_function(format!("{name}, written"), |bencher| bencher.iter(|| head.to_bytes(None)));
    }
    for (name, bytes) in [("an answer", OK), ("a 407 with a challenge", CHALLENGE)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{name}, read"), |bencher| {
            bencher.iter(|| ResponseHead::parse(&bytes[..whole(bytes)]).unwrap());
        });
        let head = ResponseHead::parse(bytes).unwrap();
        group.bench_function(format!("{name}, written"), |bencher| bencher.iter(|| head.to_bytes()));
    }
    group.finish();
}

/// Where the head ends: found first, as for whatever comes from a socket.
fn whole(bytes: &[u8]) -> usize {
    end_of_head(black_box(bytes), 0).unwrap()
}
