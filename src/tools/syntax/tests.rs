//! Files as people have them, before and after one setting.

use super::*;

fn key(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Before, key, value, after. Taking it out again must give what was before, unless the setting was there.
fn check(syntax: Syntax, cases: &[(&str, &[&str], &str, &str)]) {
    for (before, names, value, after) in cases {
        let key = key(names);
        let had = syntax.get(before, &key).unwrap();
        let set = syntax.set(before, &key, value).unwrap();
        assert_eq!(set, *after, "{syntax:?} {before:?}");
        assert_eq!(syntax.get(&set, &key).unwrap().as_deref(), Some(*value), "{set:?}");
        assert_eq!(syntax.set(&set, &key, value).unwrap(), set, "twice is once");
        let again = match had {
            Some(had) => syntax.set(&set, &key, &had).unwrap(),
            None => syntax.unset(&set, &key, before).unwrap(),
        };
        assert!(again == *before || before.trim().is_empty() && syntax.is_empty(&again), "{before:?} became {again:?}");
    }
}

#[test]
fn gits_file_keeps_its_sections_comments_and_tabs() {
    let proxy: &[&str] = &["http", "proxy"];
    check(
        Syntax::Lines(Dialect::Git),
        &[
            ("", proxy, "u", "[http]\n\tproxy = u\n"),
            ("[user]\n\tname = A # me\n", proxy, "u", "[user]\n\tname = A # me\n[http]\n\tproxy = u\n"),
            ("[user]\r\n\tname = A\r\n", proxy, "u", "[user]\r\n\tname = A\r\n[http]\r\n\tproxy = u\r\n"),
            ("[user]\n\tname = A", proxy, "u", "[user]\n\tname = A\n[http]\n\tproxy = u"),
            (
                "[http]\n\tsslVerify = true\n[core]\n\teditor = vi\n",
                proxy,
                "u",
                "[http]\n\tsslVerify = true\n\tproxy = u\n[core]\n\teditor = vi\n",
            ),
            (
                "[http \"https://x\"]\n\tproxy = other\n",
                proxy,
                "u",
                "[http \"https://x\"]\n\tproxy = other\n[http]\n\tproxy = u\n",
            ),
            ("[HTTP]\n  Proxy=old ; why\n", proxy, "u", "[HTTP]\n  Proxy=u ; why\n"),
            ("[http] proxy = old\n", proxy, "u", "[http] proxy = u\n"),
            ("[http]\n\tproxy = a\n\tproxy = b\n", proxy, "u", "[http]\n\tproxy = a\n\tproxy = u\n"),
            (
                "[alias]\n\tx = \"!f() { \\\n\techo proxy = 1; }\"\n[http]\n",
                proxy,
                "u",
                "[alias]\n\tx = \"!f() { \\\n\techo proxy = 1; }\"\n[http]\n\tproxy = u\n",
            ),
            (
                "",
                &["http", "sslCAInfo"],
                "C:\\my certs\\#1.pem",
                "[http]\n\tsslCAInfo = \"C:\\\\my certs\\\\#1.pem\"\n",
            ),
        ],
    );
}

#[test]
fn npms_settings_stand_above_its_sections() {
    let proxy: &[&str] = &["https-proxy"];
    check(
        Syntax::Lines(Dialect::Npm),
        &[
            ("", proxy, "u", "https-proxy=u\n"),
            (
                "//registry.example/:_authToken=${TOKEN}\n; mine\nfund=false",
                proxy,
                "u",
                "//registry.example/:_authToken=${TOKEN}\n; mine\nfund=false\nhttps-proxy=u",
            ),
            ("a=1\n\n[x]\nhttps-proxy=no\n", proxy, "u", "a=1\nhttps-proxy=u\n\n[x]\nhttps-proxy=no\n"),
            ("[x]\na=1\n", proxy, "u", "https-proxy=u\n[x]\na=1\n"),
            ("https-proxy = old\r\na=1\r\n", proxy, "u", "https-proxy = u\r\na=1\r\n"),
            ("# https-proxy=c\n", proxy, "u", "# https-proxy=c\nhttps-proxy=u\n"),
        ],
    );
}

#[test]
fn in_pips_file_settings_may_be_indented_alike() {
    let text = "[global]\n  timeout = 60\n  proxy = old\n  find-links =\n    a\n    b\n";
    let syntax = Syntax::Lines(Dialect::Pip);
    let key = |name| key(&["global", name]);
    assert_eq!(syntax.get(text, &key("proxy")).unwrap().as_deref(), Some("old"));
    assert_eq!(syntax.set(text, &key("proxy"), "u").unwrap(), text.replace("old", "u"));
    assert_eq!(syntax.get(text, &key("find-links")).unwrap().as_deref(), Some("\na\nb"));
    let error = syntax.set("[global]\n = 1\n", &key("proxy"), "u").unwrap_err();
    assert_eq!(error.line, 2);
}

#[test]
fn pips_file_keeps_values_of_several_lines() {
    let proxy: &[&str] = &["global", "proxy"];
    check(
        Syntax::Lines(Dialect::Pip),
        &[
            ("", proxy, "u", "[global]\nproxy = u\n"),
            (
                "[global]\nextra-index-url =\n    https://a\n    https://b\n\n[install]\nuser = yes\n",
                proxy,
                "u",
                "[global]\nextra-index-url =\n    https://a\n    https://b\nproxy = u\n\n[install]\nuser = yes\n",
            ),
            ("[global]\nProxy: old\n", proxy, "u", "[global]\nProxy: u\n"),
            ("[install]\nproxy = x\n", proxy, "u", "[install]\nproxy = x\n[global]\nproxy = u\n"),
        ],
    );
}

#[test]
fn javas_properties_keep_their_separators() {
    let host: &[&str] = &["systemProp.http.proxyHost"];
    check(
        Syntax::Lines(Dialect::Properties),
        &[
            ("", host, "h", "systemProp.http.proxyHost=h\n"),
            (
                "#!x\norg.gradle.jvmargs=-Xmx2g \\\n  -Da=b\n",
                host,
                "h",
                "#!x\norg.gradle.jvmargs=-Xmx2g \\\n  -Da=b\nsystemProp.http.proxyHost=h\n",
            ),
            ("systemProp.http.proxyHost : old\r\n", host, "h", "systemProp.http.proxyHost : h\r\n"),
            ("systemProp.http.proxyHost old\n", host, "h", "systemProp.http.proxyHost h\n"),
            ("a b=c", host, "h", "a b=c\nsystemProp.http.proxyHost=h"),
        ],
    );
}

#[test]
fn json_keeps_comments_commas_and_indents() {
    let proxy: &[&str] = &["http.proxy"];
    check(
        Syntax::Json,
        &[
            ("", proxy, "\"u\"", "{\n  \"http.proxy\": \"u\"\n}\n"),
            (
                "{\n    // mine\n    \"a\": [1, 2], /* b */\n    \"c\": {},\n}\n",
                proxy,
                "\"u\"",
                "{\n    // mine\n    \"a\": [1, 2], /* b */\n    \"c\": {},\n    \"http.proxy\": \"u\",\n}\n",
            ),
            ("{\r\n\t\"a\": 1\r\n}", proxy, "\"u\"", "{\r\n\t\"a\": 1,\r\n\t\"http.proxy\": \"u\"\r\n}"),
            ("{\"http.proxy\":\"old\",\"a\":1}", proxy, "\"u\"", "{\"http.proxy\":\"u\",\"a\":1}"),
            (
                "{\n  \"env\": {\n    \"A\": \"1\"\n  }\n}\n",
                &["env", "B"],
                "\"u\"",
                "{\n  \"env\": {\n    \"A\": \"1\",\n    \"B\": \"u\"\n  }\n}\n",
            ),
            ("{\n  \"a\": 1\n}\n", &["env", "B"], "\"u\"", "{\n  \"a\": 1,\n  \"env\": {\n    \"B\": \"u\"\n  }\n}\n"),
        ],
    );
}

#[test]
fn toml_keeps_comments_and_order() {
    let proxy: &[&str] = &["http", "proxy"];
    check(
        Syntax::Toml,
        &[
            ("", proxy, "\"u\"", "[http]\nproxy = \"u\"\n"),
            (
                "# mine\n[build]\njobs = 2 # two\n",
                proxy,
                "\"u\"",
                "# mine\n[build]\njobs = 2 # two\n\n[http]\nproxy = \"u\"\n",
            ),
            (
                "[http]\ntimeout = 9\n[net]\na = 1\n",
                proxy,
                "\"u\"",
                "[http]\ntimeout = 9\nproxy = \"u\"\n[net]\na = 1\n",
            ),
            ("[http]\r\nproxy = 'old' # was\r\n", proxy, "\"u\"", "[http]\r\nproxy = \"u\" # was\r\n"),
            ("http.timeout = 9", proxy, "\"u\"", "http.timeout = 9\nhttp.proxy = \"u\""),
        ],
    );
}

#[test]
fn mavens_first_proxy_is_ours() {
    let element = "<proxy>\n      <id>hallpass-http</id>\n      <host>h</host>\n    </proxy>";
    let id: &[&str] = &["hallpass-http"];
    let theirs = "<proxy><id>old</id><host>o</host></proxy>";
    check(
        Syntax::Maven,
        &[
            (
                "<?xml version=\"1.0\"?>\n<!-- <proxies> -->\n<settings>\n  <offline>false</offline>\n</settings>\n",
                id,
                element,
                &format!(
                    "<?xml version=\"1.0\"?>\n<!-- <proxies> -->\n<settings>\n  <offline>false</offline>\n  <proxies>\n    \
                     {element}\n  </proxies>\n</settings>\n"
                ),
            ),
            (
                &format!("<settings>\n  <proxies>\n    {theirs}\n  </proxies>\n</settings>"),
                id,
                element,
                &format!("<settings>\n  <proxies>\n    {element}\n    {theirs}\n  </proxies>\n</settings>"),
            ),
        ],
    );
    let made = Syntax::Maven.set("", &key(id), element).unwrap();
    assert!(Syntax::Maven.is_empty(&Syntax::Maven.unset(&made, &key(id), "").unwrap()), "{made}");
    let windows = Syntax::Maven.set("<settings>\r\n  <proxies/>\r\n</settings>\r\n", &key(id), element).unwrap();
    assert!(!windows.replace("\r\n", "").contains('\n'), "{windows:?}");
    assert_eq!(Syntax::Maven.get(&windows, &key(id)).unwrap().as_deref(), Some(element));
}

#[test]
fn a_shells_file_has_a_block_of_ours() {
    check(
        Syntax::Block(Mark("#")),
        &[
            ("", &["v"], "a\nb", "# >>> hallpass >>>\na\nb\n# <<< hallpass <<<\n"),
            ("x\r\n", &["v"], "a", "x\r\n# >>> hallpass >>>\r\na\r\n# <<< hallpass <<<\r\n"),
            ("x", &["v"], "a", "x\n# >>> hallpass >>>\na\n# <<< hallpass <<<"),
            (
                "# >>> hallpass >>>\nold\n# <<< hallpass <<<\nx\n",
                &["v"],
                "a",
                "# >>> hallpass >>>\na\n# <<< hallpass <<<\nx\n",
            ),
        ],
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_line() {
    for (syntax, text, names, line) in [
        (Syntax::Json, "{\n  \"a\": 1\n  \"b\": 2\n}", ["env", "A"], 2),
        (Syntax::Json, "[1]", ["env", "A"], 1),
        (Syntax::Json, "{\n \"env\": \"x\"\n}", ["env", "A"], 2),
        (Syntax::Toml, "[http]\nproxy = \n", ["http", "proxy"], 2),
        (Syntax::Toml, "\nhttp = 1\n", ["http", "proxy"], 2),
        (Syntax::Maven, "<settings>\n<proxies>\n</settings>", ["", "x"], 3),
        (Syntax::Maven, "<project>\n</project>", ["", "x"], 1),
        (Syntax::Block(Mark("#")), "a\n# >>> hallpass >>>\nb\n", ["", "x"], 2),
    ] {
        let error = syntax.set(text, &key(&names), "\"v\"").unwrap_err();
        assert_eq!(error.line, line, "{syntax:?} {error}");
        assert!(
            error.cause.contains("correct") || error.cause.contains("take") || error.cause.contains("no "),
            "{error}"
        );
    }
}

#[test]
fn a_last_line_that_goes_on_is_no_place_for_another_one() {
    for (dialect, text, line) in [
        (Dialect::Properties, "a=1\nb=old\\", Some(2)),
        (Dialect::Git, "[a]\nb = c\\\n", Some(2)),
        (Dialect::Properties, "#\\\n", None),
    ] {
        let set = Syntax::Lines(dialect).set(text, &key(&["http", "proxy"][1..]), "u");
        assert_eq!(set.err().map(|error| error.line), line, "{text:?}");
    }
}

#[test]
fn a_name_that_stands_alone_gets_a_value_with_what_separates_them() {
    for (dialect, before, names, after) in [
        (Dialect::Npm, "a=1\nproxy", &["proxy"][..], "a=1\nproxy=u"),
        (Dialect::Npm, "proxy  \r\nb=1\r\n", &["proxy"], "proxy=u\r\nb=1\r\n"),
        (Dialect::Pip, "[global]\nproxy \n", &["global", "proxy"], "[global]\nproxy = u\n"),
        (Dialect::Git, "[http]\n\tproxy\n", &["http", "proxy"], "[http]\n\tproxy = u\n"),
        (Dialect::Properties, "proxy\n", &["proxy"], "proxy=u\n"),
    ] {
        let (syntax, key) = (Syntax::Lines(dialect), key(names));
        assert_eq!(syntax.get(before, &key).unwrap().as_deref(), Some(""));
        let set = syntax.set(before, &key, "u").unwrap();
        assert_eq!((set.as_str(), syntax.get(&set, &key).unwrap().as_deref()), (after, Some("u")), "{dialect:?}");
    }
}
