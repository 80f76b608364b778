//! The upstreams that stand in a script's text: without running it, most of those that it may ever return.

use super::super::Hop;
use super::directive;
use crate::address::Endpoint;

/// More than any script names by hand.
const MOST: usize = 64;

/// Of each string literal that is a list of hops, the upstreams, each once. A script that puts them together from parts
/// hides them from this.
pub fn named_hops(script: &str) -> Vec<Endpoint> {
    let mut named = Vec::new();
    // Whether a quote opens or closes does not matter: what stands between two strings is no list of hops.
    for literal in script.split(['"', '\'', '`', '\n']) {
        let Ok(directive) = directive::parse(literal) else { continue };
        for hop in directive.hops {
            if let Hop::Upstream(endpoint) = hop
                && named.len() < MOST
                && !named.contains(&endpoint)
            {
                named.push(endpoint);
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_found_in_the_strings_of_a_script() {
        let script = "
var main = \"PROXY proxy.corp.example:8080; PROXY backup.corp.example:8080\"; // 'PROXY in a comment'
function FindProxyForURL(url, host) {
    if (isPlainHostName(host)) return 'DIRECT';
    if (shExpMatch(host, '*.socks.example')) return 'SOCKS5 socks:1080; DIRECT'
    return main + \"; proxy backup.corp.example:8080\";
}";
        let found: Vec<String> = named_hops(script).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["http://proxy.corp.example:8080", "http://backup.corp.example:8080", "socks5://socks:1080"]);
        assert_eq!(named_hops("<html>It's \"broken\"</html>"), []);
    }
}
