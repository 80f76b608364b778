//! Header fields in the order and case they came in, and the rules for which of them may pass a proxy.

use std::ops::Range;

/// Fields that belong to one connection (RFC 9110 §7.6.1), or to the exchange between us and a neighbour.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-authentication-info",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Naming these in `Connection` would let a sender delete what frames or routes the message.
const NEVER_BY_CONNECTION: [&str; 5] = ["host", "content-length", "transfer-encoding", "via", "expect"];

/// Where a field stands in the text of all.
#[derive(Debug, Clone)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

/// Most heads fit into as much as is allocated for their first field.
const USUAL_FIELDS: usize = 12;
const USUAL_NAMES: usize = 128;
const USUAL_VALUES: usize = 256;

/// The names stand in one piece of memory and the values in another: two allocations for each field were the most of what a
/// head cost.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    list: Vec<Field>,
    names: String,
    values: Vec<u8>,
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl Fields {
    pub fn push(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        if self.list.capacity() == 0 {
            self.list.reserve(USUAL_FIELDS);
            self.names.reserve(USUAL_NAMES);
            self.values.reserve(USUAL_VALUES);
        }
        let (name_at, value_at) = (self.names.len(), self.values.len());
        self.names.push_str(name.as_ref());
        self.values.extend_from_slice(value.as_ref());
        self.list.push(Field { name: name_at..self.names.len(), value: value_at..self.values.len() });
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.list.iter().map(|field| (&self.names[field.name.clone()], &self.values[field.value.clone()]))
    }

    /// Keeps those whose name is wanted.
    fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let names = &self.names;
        self.list.retain(|field| is_wanted(&names[field.name.clone()]));
    }

    /// All values of a field, line by line.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The members of a comma-separated field, in lower case.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        self.all(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .map(|member| String::from_utf8_lossy(member).trim().to_ascii_lowercase())
            .filter(|member| !member.is_empty())
    }

    pub fn has_member(&self, name: &str, member: &str) -> bool {
        let mut members = self.all(name).flat_map(|value| value.split(|b| *b == b','));
        members.any(|one| one.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
    }

    pub fn remove(&mut self, name: &str) {
        self.retain(|own| !own.eq_ignore_ascii_case(name));
    }

    /// Takes away what must not pass a proxy: the fixed set and everything `Connection` names.
    pub fn strip_hop_by_hop(&mut self) {
        let named: Vec<String> = self
            .list("connection")
            .chain(self.list("proxy-connection"))
            .filter(|name| !NEVER_BY_CONNECTION.contains(&name.as_str()))
            .collect();
        self.retain(|own| {
            let is = |name: &str| own.eq_ignore_ascii_case(name);
            !HOP_BY_HOP.iter().any(|name| is(name)) && !named.iter().any(|name| is(name))
        });
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut all = Self::default();
        fields.into_iter().for_each(|(name, value)| all.push(name, value));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_names_what_goes_but_never_host_or_framing() {
        let mut fields: Fields = [
            ("Host", "h"),
            ("Connection", "close, X-Secret, Host, Content-Length"),
            ("X-Secret", "1"),
            ("Content-Length", "5"),
            ("TE", "trailers"),
            ("Proxy-Authorization", "Basic x"),
            ("Accept", "*/*"),
        ]
        .into_iter()
        .collect();
        fields.strip_hop_by_hop();
        let left: Vec<&str> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["Host", "Content-Length", "Accept"]);
    }

    #[test]
    fn names_are_found_in_any_case_and_lists_over_several_lines() {
        let fields: Fields = [("CONNECTION", "Keep-Alive"), ("connection", " , Upgrade ")].into_iter().collect();
        assert_eq!(fields.list("Connection").collect::<Vec<_>>(), ["keep-alive", "upgrade"]);
    }
}
