//! Keytab files, as MIT and Heimdal write them (format 5.2).

use zeroize::Zeroizing;

const FORMAT: [u8; 2] = [5, 2];

pub(super) struct Keytab {
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    realm: String,
    version: u32,
    kind: u16,
    key: Zeroizing<Vec<u8>>,
}

impl Keytab {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes.strip_prefix(&FORMAT)?);
        let mut entries = Vec::new();
        while !rest.0.is_empty() {
            let size = i32::from_be_bytes(rest.array()?);
            let content = rest.take(usize::try_from(size.unsigned_abs()).ok()?)?;
            // A negative size marks a hole where an entry was.
            if size > 0 {
                entries.push(read_entry(content)?);
            }
        }
        Some(Self { entries })
    }

    /// The newest key of a type. Directories do not mind the case of names.
    pub(super) fn key(&self, name: &str, realm: &str, kind: usize) -> Option<Zeroizing<Vec<u8>>> {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        self.entries
            .iter()
            .filter(|entry| usize::from(entry.kind) == kind && same(&entry.name, name) && same(&entry.realm, realm))
            .max_by_key(|entry| entry.version)
            .map(|entry| entry.key.clone())
    }

    /// Whose it is, when nobody is named: the first entry's name and realm.
    pub(super) fn owner(&self) -> Option<(&str, &str)> {
        self.entries.first().map(|entry| (entry.name.as_str(), entry.realm.as_str()))
    }
}

fn read_entry(content: &[u8]) -> Option<Entry> {
    let mut rest = Reader(content);
    let components = u16::from_be_bytes(rest.array()?);
    let realm = rest.text()?;
    let mut name = Vec::new();
    for _ in 0..components {
        name.push(rest.text()?);
    }
    let _name_type: [u8; 4] = rest.array()?;
    let _time: [u8; 4] = rest.array()?;
    let [short_version] = rest.array()?;
    let kind = u16::from_be_bytes(rest.array()?);
    let key = rest.counted()?.to_vec().into();
    // A longer version number may follow; zero means that it does not.
    let version = match rest.array().map(u32::from_be_bytes) {
        None | Some(0) => u32::from(short_version),
        Some(version) => version,
    };
    Some(Entry { name: name.join("/"), realm, version, kind, key })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn text(&mut self) -> Option<String> {
        self.counted().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }

    fn entry(components: &[&str], version: u8, kind: u16, key: &[u8], long_version: Option<u32>) -> Vec<u8> {
        let mut content = (components.len() as u16).to_be_bytes().to_vec();
        content.extend(counted(b"CORP.EXAMPLE"));
        components.iter().for_each(|component| content.extend(counted(component.as_bytes())));
        content.extend([0, 0, 0, 1, 0, 0, 0, 0, version]);
        content.extend(kind.to_be_bytes());
        content.extend(counted(key));
        content.extend(long_version.into_iter().flat_map(u32::to_be_bytes));
        [&(content.len() as i32).to_be_bytes()[..], &content].concat()
    }

    fn example() -> Vec<u8> {
        let mut bytes = FORMAT.to_vec();
        bytes.extend(entry(&["alice"], 1, 18, b"old", None));
        bytes.extend([0xff, 0xff, 0xff, 0xfe, 0, 0]);
        bytes.extend(entry(&["alice"], 2, 18, b"new", Some(258)));
        bytes.extend(entry(&["alice"], 3, 17, b"short", None));
        bytes.extend(entry(&["HTTP", "proxy"], 1, 18, b"service", Some(0)));
        bytes
    }

    #[test]
    fn the_newest_key_of_the_type_is_found() {
        let keytab = Keytab::parse(&example()).unwrap();
        for (name, kind, key) in [
            ("alice", 18, Some("new")),
            ("Alice", 17, Some("short")),
            ("HTTP/proxy", 18, Some("service")),
            ("alice", 23, None),
            ("bob", 18, None),
        ] {
            let found = keytab.key(name, "corp.example", kind).map(|key| String::from_utf8(key.to_vec()).unwrap());
            assert_eq!(found.as_deref(), key, "{name} {kind}");
        }
        assert_eq!(keytab.owner(), Some(("alice", "CORP.EXAMPLE")));
    }

    #[test]
    fn any_cut_or_damaged_file_is_read_without_panic() {
        let bytes = example();
        for end in 0..bytes.len() {
            let _ = Keytab::parse(&bytes[..end]);
            let mut damaged = bytes.clone();
            damaged[end] ^= 0xff;
            let _ = Keytab::parse(&damaged);
        }
        assert!(Keytab::parse(b"\x05\x01").is_none());
    }
}
