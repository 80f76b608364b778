//! The page at `/`: what `/status` says, for people. Whole without a script; with it, it follows what changes.

mod sections;

use std::fmt::{self, Display, Write as _};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Nothing is loaded from anywhere; what stands in the page runs by its hash, so nothing that slipped in would.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

pub(super) fn policy() -> &'static str {
    &POLICY
}

/// `status` is what `/status` says.
pub(super) fn html(status: &Value) -> String {
    let mut html = String::with_capacity(64 * 1024);
    let mut rest = FRAME;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        html.push_str(before);
        match name {
            "style" => html.push_str(STYLE),
            "script" => html.push_str(SCRIPT),
            "version" => html.push_str(&Text(word(&status["version"])).to_string()),
            "state" => sections::state(status, &mut html),
            _ => sections::all(status, &mut html),
        }
        rest = after;
    }
    html.push_str(rest);
    html
}

/// Text between tags and in quoted values, whatever is in it.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// Nothing where there is no text.
fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Value {
        json!({
            "version": "0", "pid": 1, "started": "2026-01-01T00:00:00Z", "phase": "serving", "listen": ["127.0.0.1:1"],
            "configuration": { "files": ["/a<b"], "loaded": "", "problem": null },
            "profile": { "name": "o\"ffice", "reason": "<img src=x onerror=alert(1)>" },
            "upstreams": [{
                "upstream": "http://<b>:1", "state": "down", "problem": "<i>", "account": "<u>", "breaker": "open",
            }],
            "tunnels": { "count": 1, "list": [{
                "id": "h-1", "client": "127.0.0.1:2", "target": "<script>alert(1)</script>:443", "hop": "direct",
                "program": "/usr/bin/<x>", "bytes_up": 1, "bytes_down": 2048, "age_seconds": 3, "idle_seconds": 1,
            }]},
            "traffic": { "clients": 1, "bytes_up": 1, "bytes_down": 2048 },
            "failures": [{
                "time": "", "id": "h-2", "target": "</li><script>", "status": 502, "end": "unreachable",
                "cause": "'\"><script>", "hint": "<a href=x>", "count": 2,
            }],
            "lockout": [{ "account": "<s>", "reason": "rejected", "since": "", "next_trial_seconds": null }],
            "refused": [{ "cause": "<q>", "remedy": "<r>", "count": 1, "last": "" }],
        })
    }

    #[test]
    fn whatever_others_have_named_stays_text() {
        let html = html(&status());
        let body = html.split_once("<body>").unwrap().1;
        let body = body.rsplit_once("<script>").unwrap().0;
        for tag in ["<script", "<img", "<b>", "<i>", "<u>", "<s>", "<q>", "<r>", "<x>", "<a href=x"] {
            assert!(!body.contains(tag), "{tag} in {body}");
        }
        assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt;:443"), "{body}");
        assert!(body.contains("o&quot;ffice"), "{body}");
    }

    #[test]
    fn what_the_policy_lets_run_is_what_stands_in_the_page() {
        let html = html(&status());
        for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
            let inside = html.rsplit_once(&format!("<{tag}>")).unwrap().1;
            let inside = inside.split_once(&format!("</{tag}>")).unwrap().0;
            let hash = STANDARD.encode(Sha256::digest(inside.as_bytes()));
            assert!(policy().contains(&format!("{directive} 'sha256-{hash}'")), "{tag}");
        }
        assert!(!html.contains("{{"));
    }

    #[test]
    fn an_answer_that_lacks_everything_is_still_a_page() {
        assert!(html(&json!({})).contains("No tunnel is open"));
    }
}
