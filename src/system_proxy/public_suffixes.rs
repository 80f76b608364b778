//! Which domain an organisation can own: one label below a public suffix (publicsuffix.org).
//!
//! The list is read through for each question. It is asked for once in a network; as code it would be the largest part
//! of the program.

/// See its head for what a line says.
const LIST: &str = include_str!("public_suffixes.txt");

/// The end of the name that its organisation owns; nothing of a public suffix itself. Names are lower case A-labels.
pub(super) fn organisation(name: &str) -> Option<&str> {
    if name.split('.').any(str::is_empty) {
        return None;
    }
    let (below, _) = name.split_at_checked(name.len() - suffix(name).len())?;
    let label = below.strip_suffix('.')?.rsplit('.').next()?;
    name.get(below.len() - 1 - label.len()..)
}

/// The longest public suffix of the name; the last label is always one.
fn suffix(name: &str) -> &str {
    let mut suffix = name.rsplit('.').next().unwrap_or(name);
    let mut above = suffix;
    while let Some(label) = label_before(name, above) {
        let whole = &name[name.len() - above.len() - 1 - label.len()..];
        match rule(above, label) {
            Rule::Suffix => suffix = whole,
            Rule::Exception => return above,
            Rule::None => {}
        }
        above = whole;
    }
    suffix
}

fn label_before<'a>(name: &'a str, above: &str) -> Option<&'a str> {
    name.strip_suffix(above)?.strip_suffix('.')?.rsplit('.').next()
}

#[derive(Debug, PartialEq)]
enum Rule {
    Suffix,
    Exception,
    None,
}

fn rule(above: &str, label: &str) -> Rule {
    let Some(labels) = LIST.lines().find_map(|line| line.strip_prefix(above)?.strip_prefix(' ')) else {
        return Rule::None;
    };
    if labels.split(' ').any(|listed| listed.strip_prefix('!') == Some(label)) {
        Rule::Exception
    } else if labels.split(' ').any(|listed| listed == label || listed == "*") {
        Rule::Suffix
    } else {
        Rule::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Among them what the list's own keepers test (publicsuffix.org/list, test_psl.txt).
    #[test]
    fn an_organisation_owns_one_label_below_a_public_suffix() {
        for (name, owned) in [
            ("com", None),
            ("example.com", Some("example.com")),
            ("b.example.com", Some("example.com")),
            ("a.b.example.com", Some("example.com")),
            ("uk.com", None),
            ("example.uk.com", Some("example.uk.com")),
            ("a.b.example.uk.com", Some("example.uk.com")),
            ("test.ac", Some("test.ac")),
            ("mm", None),
            ("c.mm", None),
            ("b.c.mm", Some("b.c.mm")),
            ("a.b.c.mm", Some("b.c.mm")),
            ("jp", None),
            ("ac.jp", None),
            ("test.ac.jp", Some("test.ac.jp")),
            ("kyoto.jp", None),
            ("ide.kyoto.jp", None),
            ("b.ide.kyoto.jp", Some("b.ide.kyoto.jp")),
            ("c.kobe.jp", None),
            ("b.c.kobe.jp", Some("b.c.kobe.jp")),
            ("city.kobe.jp", Some("city.kobe.jp")),
            ("www.city.kobe.jp", Some("city.kobe.jp")),
            ("ck", None),
            ("test.ck", None),
            ("b.test.ck", Some("b.test.ck")),
            ("www.ck", Some("www.ck")),
            ("www.www.ck", Some("www.ck")),
            ("k12.ak.us", None),
            ("test.k12.ak.us", Some("test.k12.ak.us")),
            ("www.test.ak.us", Some("test.ak.us")),
            ("xn--85x722f.xn--55qx5d.cn", Some("xn--85x722f.xn--55qx5d.cn")),
            ("xn--55qx5d.cn", None),
            ("shishi.xn--fiqs8s", Some("shishi.xn--fiqs8s")),
            ("internal.cloudapp.net", Some("internal.cloudapp.net")),
            ("compute.amazonaws.com", Some("amazonaws.com")),
            ("eu-west-1.compute.amazonaws.com", None),
            ("ex.futurecms.at", None),
            ("a.ex.futurecms.at", None),
            ("b.a.ex.futurecms.at", Some("b.a.ex.futurecms.at")),
            ("office.unlisted", Some("office.unlisted")),
            ("a.office.unlisted", Some("office.unlisted")),
            ("a..com", None),
            (".com", None),
            ("com.", None),
            ("", None),
        ] {
            assert_eq!(organisation(name), owned, "{name:?}");
        }
    }

    #[test]
    fn every_line_of_the_list_is_a_domain_and_labels_below_it() {
        let lines: Vec<&str> = LIST.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 1000, "{}", lines.len());
        for line in lines {
            let (above, labels) = line.split_once(' ').unwrap();
            let fits = |label: &str| {
                !label.is_empty() && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            };
            assert!(above.split('.').all(fits), "{line}");
            assert!(labels.split(' ').all(|l| l == "*" || fits(l.strip_prefix('!').unwrap_or(l))), "{line}");
        }
    }
}
