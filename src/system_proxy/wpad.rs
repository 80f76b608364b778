//! Where a network may keep its PAC script, by the names that its machines have (draft-ietf-wrec-wpad-01 §4.4).
//!
//! Whoever owns `wpad.com` or `wpad.co.uk` would be everybody's proxy, so the search ends at the domain that an
//! organisation can own: one label below the public suffixes (publicsuffix.org). Plain http is what the protocol
//! says; a script found so may name proxies but gets no credentials that were not meant for them.

use super::public_suffixes;

/// The URLs to ask, in order, for the DNS suffixes of the network.
pub fn candidates(suffixes: &[String]) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for domain in suffixes.iter().flat_map(|suffix| domains(suffix)) {
        let url = format!("http://wpad.{domain}/wpad.dat");
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// The suffix and what is above it, as far up as the organisation's own domain.
fn domains(suffix: &str) -> Vec<String> {
    let Ok(suffix) = idna::domain_to_ascii(suffix.trim_matches('.')) else { return Vec::new() };
    let Some(organisation) = public_suffixes::organisation(&suffix) else { return Vec::new() };
    let mut domains = vec![suffix.clone()];
    let mut rest = suffix.as_str();
    while let Some((_, above)) = rest.split_once('.').filter(|_| rest != organisation) {
        domains.push(above.to_string());
        rest = above;
    }
    domains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_at_the_domain_of_the_organisation() {
        for (suffix, found) in [
            ("corp.example", vec!["corp.example"]),
            ("emea.corp.example", vec!["emea.corp.example", "corp.example"]),
            ("A.B.Corp.Example.", vec!["a.b.corp.example", "b.corp.example", "corp.example"]),
            ("office.corp.co.uk", vec!["office.corp.co.uk", "corp.co.uk"]),
            ("corp.co.uk", vec!["corp.co.uk"]),
            ("ad.corp.com", vec!["ad.corp.com", "corp.com"]),
            ("me.github.io", vec!["me.github.io"]),
            ("office.local", vec!["office.local"]),
            ("co.uk", vec![]),
            ("com", vec![]),
            ("local", vec![]),
            ("github.io", vec![]),
            ("", vec![]),
            (".", vec![]),
        ] {
            let urls: Vec<String> = found.iter().map(|domain| format!("http://wpad.{domain}/wpad.dat")).collect();
            assert_eq!(candidates(&[suffix.to_string()]), urls, "{suffix:?}");
        }
    }

    #[test]
    fn a_name_that_two_suffixes_lead_to_is_asked_once() {
        let suffixes = ["emea.corp.example", "corp.example", "apac.corp.example"].map(String::from);
        assert_eq!(
            candidates(&suffixes),
            [
                "http://wpad.emea.corp.example/wpad.dat",
                "http://wpad.corp.example/wpad.dat",
                "http://wpad.apac.corp.example/wpad.dat"
            ]
        );
    }
}
