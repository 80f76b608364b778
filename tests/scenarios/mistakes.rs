//! A mistake of ours while one client is served: it is that client's end, and nobody else's.

use hallpass::listener::{Accepted, Listener, Places, Room};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::support::soon;

#[tokio::test]
async fn a_panic_ends_one_client_and_gives_its_place_back() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
    let addr = listener.addr();
    let (stop, stopped) = watch::channel(false);
    // Were a place lost with each mistake, there would be none for the last client.
    let places = Places::new(2);
    let all = places.clone();
    let serve = move |client: Accepted| {
        let mut stream = client.stream;
        let place = all.take().unwrap();
        async move {
            let mut first = [0];
            stream.read_exact(&mut first).await.unwrap();
            assert_ne!(first[0], b'!', "a mistake");
            stream.write_all(b"served").await.unwrap();
            drop(place);
        }
    };
    let running = tokio::spawn(listener.run(Room::new(None, 0), stopped, serve));
    for (sent, expected) in [("!", ""), ("!", ""), ("!", ""), (".", "served")] {
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        // A connection that breaks off may do so with a reset.
        let _ = soon("the end of a client", client.read_to_end(&mut heard)).await;
        assert_eq!(String::from_utf8(heard).unwrap(), expected);
    }
    stop.send_replace(true);
    soon("the end of the listener", running).await.unwrap();
    let free = [places.take(), places.take(), places.take()];
    assert!(matches!(free, [Some(_), Some(_), None]));
}
