//! The demo's story: with the relay, and with a stand-in for it that can do no more than Basic.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass::auth::Scheme;
use hallpass::cli::demo::{DemoOptions, RelayWish, demo, start_relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Adds one field to the first head of each connection.
async fn stand_in(upstream: SocketAddr, field: String) -> anyhow::Result<(SocketAddr, AbortHandle)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay(client, upstream, field.clone()));
        }
    });
    Ok((address, task.abort_handle()))
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, field: String) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n") {
        head.push(client.read_u8().await?);
    }
    let mut upstream = TcpStream::connect(upstream).await?;
    upstream.write_all(&[&head, field.as_bytes()].concat()).await?;
    copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}

async fn told(password: Option<&str>) -> (bool, String) {
    let mut out = Vec::new();
    let options = DemoOptions { once: true, scheme: Scheme::Basic, colour: false };
    let fine = demo(options, &mut out, async |wish: RelayWish| {
        let pair = format!("{}:{}", wish.user, password.unwrap_or(wish.password.expose()));
        stand_in(wish.upstream, format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(pair))).await
    })
    .await
    .unwrap();
    (fine, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn every_step_of_the_story_succeeds_through_a_relay_that_logs_on() {
    let (fine, text) = told(None).await;
    println!("{text}");
    assert!(fine, "{text}");
    assert_eq!(text.matches('\u{2713}').count(), 6, "{text}");
    assert!(text.contains("5 as PRACTICE\\alice, none refused, on 6 connections"), "{text}");
    assert!(!text.contains('\x1b') && !text.contains("FAILED"), "{text}");
}

#[tokio::test]
async fn a_relay_with_a_wrong_password_makes_the_story_fail() {
    let (fine, text) = told(Some("wrong")).await;
    assert!(!fine, "{text}");
    assert_eq!(text.matches("FAILED").count(), 6, "{text}");
    assert!(text.ends_with("6 steps failed.\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_plays_its_part_with_every_scheme() {
    for scheme in [Scheme::Ntlm, Scheme::Digest, Scheme::Basic] {
        let mut out = Vec::new();
        let options = DemoOptions { once: true, scheme, colour: false };
        let fine = demo(options, &mut out, start_relay).await.unwrap();
        assert!(fine, "{}", String::from_utf8_lossy(&out));
    }
}
