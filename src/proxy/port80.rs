//! Plain HTTP inside what the client takes for a tunnel to port 80: forwarded request by request, where an upstream
//! refuses the tunnel. Node's fetch and undici ask for `http://` URLs in this way.

use std::sync::Arc;

use super::url::Url;
use super::{Client, Next, Problem, Proxy, Shared, Story, forward, respond};
use crate::address::Target;
use crate::http1::RequestHead;

pub(super) const PORT: u16 = 80;

pub(super) async fn serve(
    client: &mut Client,
    head: RequestHead,
    target: &Target,
    proxy: &Arc<Proxy>,
    shared: &mut Shared,
    pin: &mut Option<forward::Pin>,
) -> Next {
    match absolute(&head, target) {
        Some(url) => {
            let head = RequestHead { target: url, ..head };
            Box::pin(forward::serve(client, head, proxy, shared, pin)).await
        }
        None => {
            let mut story = Story::of_request(&client.peer, proxy, &head);
            story.record.target = Some(target.to_string().into());
            respond::refuse(client, story, &Problem::only_plain_http()).await;
            Next::Close
        }
    }
}

/// The request's URL. The tunnel was routed for one host, so one host is all that may be asked for in it.
fn absolute(head: &RequestHead, target: &Target) -> Option<String> {
    let same_host = |value: &[u8]| {
        let name = std::str::from_utf8(value).unwrap_or_default().trim();
        Target::parse(name, Some(PORT)).is_ok_and(|host| host == *target)
    };
    if head.method == "CONNECT" || !head.fields.all("host").all(same_host) {
        return None;
    }
    if head.target.starts_with('/') {
        return Some(format!("http://{}{}", target.host, head.target));
    }
    let url = Url::parse(&head.target).ok()?;
    (url.scheme == "http" && url.target == *target).then(|| url.absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_a_tunnel_becomes_one_for_the_tunnels_host_or_none() {
        let target = Target::parse("Example.com:80", None).unwrap();
        for (text, url) in [
            ("GET /a?b HTTP/1.1\r\nHost: example.com\r\n\r\n", Some("http://example.com/a?b")),
            ("GET / HTTP/1.1\r\nHost: EXAMPLE.com:80\r\n\r\n", Some("http://example.com/")),
            ("GET /old HTTP/1.0\r\n\r\n", Some("http://example.com/old")),
            ("GET http://example.com/x HTTP/1.1\r\nHost: example.com\r\n\r\n", Some("http://example.com/x")),
            ("GET /other HTTP/1.1\r\nHost: other.example\r\n\r\n", None),
            ("GET /port HTTP/1.1\r\nHost: example.com:81\r\n\r\n", None),
            ("GET http://other.example/ HTTP/1.1\r\nHost: example.com\r\n\r\n", None),
            ("OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n", None),
            ("CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n", None),
        ] {
            let head = RequestHead::parse(&bytes::Bytes::copy_from_slice(text.as_bytes())).unwrap();
            assert_eq!(absolute(&head, &target).as_deref(), url, "{text}");
        }
        let target = Target::parse("[2001:db8::1]:80", None).unwrap();
        let head = RequestHead::parse(&bytes::Bytes::from_static(b"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n"));
        assert_eq!(absolute(&head.unwrap(), &target).as_deref(), Some("http://[2001:db8::1]/"));
    }
}
