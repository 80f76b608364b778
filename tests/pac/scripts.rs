//! What the language of scripts is, and what is no script.

use hallpass::route::pac::{PacError, text};

use crate::support::{World, ask, body, compile, hops};

/// The value of an expression, as a script sees it.
fn value(expression: &str) -> String {
    let pac = body(&World::new(), &format!("return 'DIRECT;' + encodeURIComponent(String({expression}));"));
    let returned = ask(&pac, "h").unwrap().returned.clone();
    returned.strip_prefix("DIRECT;").unwrap().replace("%20", " ").replace("%3A", ":").replace("%2C", ",")
}

#[test]
fn a_script_decides_by_url_and_host() {
    let script = "function FindProxyForURL(url, host) {
        if (shExpMatch(url, 'https://*.intra.example/')) return 'DIRECT';
        if (shExpMatch(host, '(a|b).example')) return 'SOCKS5 s:1; DIRECT';
        return 'PROXY p:8080; bogus; PROXY q:8080';
    }";
    let pac = compile(&World::new(), script).unwrap();
    assert_eq!(hops(&pac, "x.intra.example"), "direct");
    assert_eq!(hops(&pac, "b.example"), "socks5://s:1 direct");
    let answer = ask(&pac, "c.example").unwrap();
    assert_eq!(answer.returned, "PROXY p:8080; bogus; PROXY q:8080");
    assert_eq!(answer.skipped, ["bogus"]);
    assert_eq!(answer.hops.len(), 2);
}

#[test]
fn the_function_is_found_however_it_is_defined() {
    for script in [
        "function FindProxyForURL(u, h) { return 'DIRECT' }",
        "var FindProxyForURL = function (u, h) { return 'DIRECT' }",
        "const FindProxyForURL = (u, h) => 'DIRECT'",
        "let FindProxyForURL = (u, h) => 'DIRECT'",
        "this.FindProxyForURL = function () { return 'DIRECT' }",
        "globalThis['FindProxyForURL'] = function () { return 'DIRECT' }",
        "eval('function FindProxyForURL() { return \"DIRECT\" }')",
        "function FindProxyForURLEx(u, h) { return 'DIRECT' }",
        "function FindProxyForURL() { return 'PROXY old:1' } function FindProxyForURLEx() { return 'DIRECT' }",
        "function FindProxyForURL(u, h) { FindProxyForURL = function () { return 'DIRECT' }; return FindProxyForURL() }",
        "\u{feff}function FindProxyForURL(u, h) { return 'DIRECT' }",
        "<!-- hidden from old browsers\nfunction FindProxyForURL(u, h) { return 'DIRECT' }\n// -->",
        "x = 1; function FindProxyForURL(u, h) { with ({ d: 'DIRECT' }) { return d } }",
    ] {
        let pac = compile(&World::new(), script).unwrap_or_else(|error| panic!("{script}: {error}"));
        assert_eq!(hops(&pac, "h"), "direct", "{script}");
    }
}

#[test]
fn what_is_no_script_is_named() {
    for (script, error) in [
        ("", PacError::NoFunction),
        ("var a = 1;", PacError::NoFunction),
        ("var FindProxyForURL = 'DIRECT';", PacError::NoFunction),
        ("<!DOCTYPE html><html><body>Please log in</body></html>", PacError::WebPage),
        ("\n <html>\n<head>", PacError::WebPage),
        ("<!-- a page -->\n", PacError::WebPage),
        ("throw 'no'", PacError::Threw("no".into())),
        ("\n\nnull.x", PacError::Threw("TypeError: cannot read property 'x' of null (line 3)".into())),
    ] {
        assert_eq!(compile(&World::new(), script).err(), Some(error), "{script}");
    }
    let Err(PacError::Syntax(text)) = compile(&World::new(), "function f() {\n  return '\n}") else {
        panic!("no error")
    };
    assert!(text.ends_with("(line 2)"), "{text}");
    assert!(matches!(compile(&World::new(), "var a = '\0';"), Err(PacError::Syntax(_))));
}

#[test]
fn a_script_of_two_mebibytes_is_taken() {
    let mut script = String::from("var known = {\n");
    for number in 0..60_000 {
        script += &format!("  'host-{number}.example.com': 1,\n");
    }
    script += "};\nfunction FindProxyForURL(url, host) { return known[host] ? 'PROXY p:1' : 'DIRECT'; }\n";
    script += &format!("// {}\n", "x".repeat((2 << 20) - script.len()));
    assert!(script.len() >= 2 << 20);
    let pac = compile(&World::new(), &text::decode(script.as_bytes(), None)).unwrap();
    assert_eq!(hops(&pac, "host-59999.example.com"), "http://p:1");
    assert_eq!(hops(&pac, "host-60000.example.com"), "direct");
}

#[test]
fn nothing_leads_out_of_the_sandbox() {
    for name in ["std", "os", "require", "process", "console", "print", "scriptArgs", "fetch", "XMLHttpRequest"] {
        assert_eq!(value(&format!("typeof {name}")), "undefined", "{name}");
    }
    for name in ["performance", "setTimeout", "Worker", "WeakRef", "ActiveXObject", "load", "loadScript"] {
        assert_eq!(value(&format!("typeof {name}")), "undefined", "{name}");
    }
    assert!(compile(&World::new(), "import * as std from 'std'").is_err());
    let pac = body(&World::new(), "import('std'); return 'PROXY p:1'");
    assert_eq!(hops(&pac, "h"), "http://p:1");
}

#[test]
fn the_language_has_what_scripts_use() {
    for (expression, wanted) in [
        ("/^a(b+)$/i.exec('ABB')[1]", "BB"),
        ("JSON.stringify({ a: [1, 2] })", "%7B%22a%22:[1,2]%7D"),
        ("new Date(2026, 0, 31).getDate()", "31"),
        ("new Date(0).toISOString()", "1970-01-01T00:00:00.000Z"),
        ("Date.UTC(1970, 0, 2)", "86400000"),
        ("Date.parse('1970-01-01T00:00:01Z')", "1000"),
        ("new Date() instanceof Date", "true"),
        ("Object.prototype.toString.call(new Date())", "[object Date]"),
        ("new Date().constructor === Date", "true"),
        ("typeof Date()", "string"),
        ("new Date().toISOString().slice(0, 16)", "2026-03-18T12:00"),
        ("new Date(Date.now()).getUTCFullYear()", "2026"),
        ("Math.random() < 1", "true"),
        ("new Map([[1, 2]]).get(1)", "2"),
        ("[...new Set([1, 1])].length", "1"),
        ("`a${1 + 1}`", "a2"),
        ("'abc'.at(-1) + [3, 1, 2].sort().join('')", "c123"),
        ("escape('a b') + unescape('%41')", "a%2520bA"),
        ("typeof Intl", "undefined"),
    ] {
        let pac = body(&World::new(), &format!("return 'DIRECT;' + encodeURIComponent(String({expression}));"));
        let returned = ask(&pac, "h").unwrap().returned.clone();
        let shown = returned.replace("%3A", ":").replace("%2C", ",").replace("%5B", "[").replace("%5D", "]");
        assert_eq!(shown.replace("%20", " "), format!("DIRECT;{wanted}"), "{expression}");
    }
}

#[test]
fn an_odd_return_is_an_error_of_its_own_and_never_direct() {
    for (returned, error) in [
        ("undefined", PacError::Nothing),
        ("null", PacError::Nothing),
        ("''", PacError::Nothing),
        ("' ; '", PacError::Nothing),
        ("5", PacError::NotAString("a number")),
        ("1.5", PacError::NotAString("a number")),
        ("false", PacError::NotAString("bool")),
        ("{}", PacError::NotAString("object")),
        ("['DIRECT']", PacError::NotAString("array")),
        ("new String('DIRECT')", PacError::NotAString("object")),
        ("'nonsense'", PacError::NoHop("nonsense".into())),
        ("'PROXY'", PacError::NoHop("PROXY".into())),
    ] {
        let pac = body(&World::new(), &format!("return {returned};"));
        assert_eq!(ask(&pac, "h"), Err(error), "{returned}");
    }
    assert_eq!(ask(&body(&World::new(), ""), "h"), Err(PacError::Nothing));
    let promise = compile(&World::new(), "async function FindProxyForURL() { return 'DIRECT' }").unwrap();
    assert_eq!(ask(&promise, "h"), Err(PacError::NotAString("promise")));
}

#[test]
fn a_script_may_replace_what_it_is_given() {
    let script = "function isPlainHostName(h) { return h == 'mine' }
        Date.now = function () { return 7 };
        function FindProxyForURL(u, h) { return isPlainHostName(h) && Date.now() == 7 ? 'PROXY p:1' : 'DIRECT' }";
    let pac = compile(&World::new(), script).unwrap();
    assert_eq!(hops(&pac, "mine"), "http://p:1");
    assert_eq!(hops(&pac, "www"), "direct");
}
