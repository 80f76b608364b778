//! The variables that command-line tools agree on more or less; where they differ, curl is followed.

use super::{Found, Kind, Variable, value};

/// In order of preference: HTTPS is most of what is sent. curl looks at lower case first.
const PROXIES: [&str; 6] = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// A web server sets this for CGI programs, whose `HTTP_PROXY` is then the header `Proxy` of a stranger.
const CGI: &str = "REQUEST_METHOD";

pub fn read(variable: Variable) -> Option<Found> {
    let mut notes = Vec::new();
    for name in PROXIES.into_iter().filter(|name| *name != "HTTP_PROXY" || variable(CGI).is_none()) {
        let Some(text) = set(variable, name) else { continue };
        let source = format!("the environment variable {name}");
        match value::endpoint(&text) {
            Ok(read) => {
                notes.extend(read.had_userinfo.then(|| value::userinfo_note(&source)));
                // The dialect is our own: what means nothing is told by whoever reads it.
                let no_proxy = EXCEPTIONS.iter().find_map(|name| set(variable, name)).unwrap_or_default();
                let kind = Kind::Static { upstreams: vec![read.endpoint], no_proxy, short_names_direct: false };
                return Some(Found { source, kind, notes });
            }
            Err(cause) => notes.push(format!("{source} is ignored: {cause}")),
        }
    }
    // What is ignored must be told, even where nothing is left: then it is passed over.
    let nothing = Kind::Static { upstreams: Vec::new(), no_proxy: String::new(), short_names_direct: false };
    (!notes.is_empty()).then(|| Found { source: "the environment".into(), kind: nothing, notes })
}

/// The user name in the proxy's URL, where one stands there.
pub fn user_name(variable: Variable) -> Option<String> {
    let names = PROXIES.into_iter().filter(|name| *name != "HTTP_PROXY" || variable(CGI).is_none());
    names.filter_map(|name| set(variable, name)).find_map(|text| value::user_name(&text))
}

/// An empty value takes a variable back.
fn set(variable: Variable, name: &str) -> Option<String> {
    variable(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Option<Found> {
        read(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn the_variables_are_asked_in_their_order() {
        for (variables, name, upstream, no_proxy) in [
            (vec![("HTTPS_PROXY", "http://a:1"), ("http_proxy", "http://b:1")], "HTTPS_PROXY", "http://a:1", ""),
            (vec![("HTTPS_PROXY", "a:1"), ("https_proxy", "b:1")], "https_proxy", "http://b:1", ""),
            (vec![("https_proxy", " "), ("HTTP_PROXY", "a:1")], "HTTP_PROXY", "http://a:1", ""),
            (vec![("ALL_PROXY", "socks5h://a:1"), ("NO_PROXY", "x.example")], "ALL_PROXY", "socks5://a:1", "x.example"),
            (vec![("all_proxy", "a:1"), ("no_proxy", "x"), ("NO_PROXY", "y")], "all_proxy", "http://a:1", "x"),
            (
                vec![("HTTP_PROXY", "stranger:1"), ("REQUEST_METHOD", "GET"), ("all_proxy", "socks4://a")],
                "all_proxy",
                "socks4://a:1080",
                "",
            ),
        ] {
            let found = found(&variables).unwrap();
            assert_eq!(found.source, format!("the environment variable {name}"), "{variables:?}");
            let Kind::Static { upstreams, no_proxy: exceptions, .. } = found.kind else { panic!("{variables:?}") };
            assert_eq!(upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(), [upstream], "{variables:?}");
            assert_eq!((exceptions.as_str(), found.notes.len()), (no_proxy, 0), "{variables:?}");
        }
    }

    #[test]
    fn nothing_set_says_nothing() {
        for variables in [vec![], vec![("NO_PROXY", "*")], vec![("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")]] {
            assert_eq!(found(&variables), None, "{variables:?}");
        }
    }

    #[test]
    fn a_password_is_neither_used_nor_shown() {
        let found = found(&[("https_proxy", "http://alice:s3cret@proxy.corp.example:8080")]).unwrap();
        assert!(!format!("{found:?}").contains("s3cret") && !format!("{found:?}").contains("alice"));
        assert_eq!(found.notes.len(), 1);
        assert!(
            found.notes[0].contains("https_proxy") && found.notes[0].contains("[credentials]"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn a_value_without_meaning_makes_way_for_the_next_and_is_told() {
        let two = found(&[("https_proxy", "http://h:99999"), ("http_proxy", "http://b:1")]).unwrap();
        assert_eq!(two.source, "the environment variable http_proxy");
        assert!(two.notes[0].contains("https_proxy") && two.notes[0].contains("99999"), "{:?}", two.notes);
        let none = found(&[("https_proxy", "http://h:99999")]).unwrap();
        assert_eq!(none.notes.len(), 1);
        assert!(
            matches!(none.kind, Kind::Static { upstreams, .. } if upstreams.is_empty()),
            "the next source is asked"
        );
    }
}
