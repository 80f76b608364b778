//! A small XML document as the list of its elements.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion, escape};

/// In the order in which they begin.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The names that lead to it, without prefixes: `Package/Identity`.
    pub path: String,
    /// Names without prefixes, and values.
    pub attributes: Vec<(String, String)>,
    /// All its text that stands in no element below.
    pub text: String,
}

/// `None`: it is no XML.
pub fn elements(bytes: &[u8]) -> Option<Vec<Element>> {
    let (text, _, _) = encoding_rs::UTF_8.decode(bytes);
    let mut reader = Reader::from_str(&text);
    let (mut all, mut open) = (Vec::<Element>::new(), Vec::<usize>::new());
    loop {
        let mut add = |words: &str| {
            if let Some(element) = open.last().and_then(|at| all.get_mut(*at)) {
                element.text.push_str(words);
            }
        };
        match reader.read_event().ok()? {
            Event::Text(words) => add(&words),
            Event::CData(words) => add(&words),
            Event::GeneralRef(name) => match name.resolve_char_ref().ok()? {
                Some(c) => add(c.encode_utf8(&mut [0; 4])),
                None => add(escape::resolve_predefined_entity(&name)?),
            },
            Event::Start(start) => {
                let element = begun(&start, open.last().and_then(|at| all.get(*at)))?;
                open.push(all.len());
                all.push(element);
            }
            Event::Empty(start) => {
                let element = begun(&start, open.last().and_then(|at| all.get(*at)))?;
                all.push(element);
            }
            Event::End(_) => {
                open.pop();
            }
            Event::Eof => return (open.is_empty() && !all.is_empty()).then_some(all),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn begun(start: &BytesStart, parent: Option<&Element>) -> Option<Element> {
    let name = start.local_name().as_ref().to_string();
    let path = parent.map_or_else(|| name.clone(), |parent| format!("{}/{name}", parent.path));
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        attributes.push((attribute.key.local_name().as_ref().to_string(), value.into_owned()));
    }
    Some(Element { path, attributes, text: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "<?xml version=\"1.0\"?>\n<a:R xmlns:a=\"urn:a\"><!-- no --><b c=\"1 &amp; 2\" a:d=''/>x &lt;&#65;<e>in<![CDATA[<f>]]></e>y</a:R>\n";

    fn check(bytes: &[u8]) {
        let all = elements(bytes).unwrap();
        let paths: Vec<(&str, &str)> = all.iter().map(|one| (one.path.as_str(), one.text.as_str())).collect();
        assert_eq!(paths, [("R", "x <Ay"), ("R/b", ""), ("R/e", "in<f>")]);
        assert_eq!(
            (all[1].attribute("c"), all[1].attribute("d"), all[1].attribute("x")),
            (Some("1 & 2"), Some(""), None)
        );
    }

    #[test]
    fn elements_come_in_order_whatever_the_encoding() {
        check(SAMPLE.as_bytes());
        check(&[b"\xef\xbb\xbf", SAMPLE.as_bytes()].concat());
        let wide: Vec<u8> = SAMPLE.encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&[b"\xff\xfe", wide.as_slice()].concat());
    }

    #[test]
    fn what_is_no_xml_is_none() {
        for text in ["", "bplist00\x01", "<a><b></a>", "<a>", "<a>&unknown;</a>"] {
            assert_eq!(elements(text.as_bytes()), None, "{text}");
        }
    }
}
