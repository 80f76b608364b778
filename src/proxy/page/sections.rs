//! The parts of the page, each made of what `/status` says. Writing to a `String` does not fail.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::super::figures;
use super::{Text, list, number, word};

/// The first thing to read: whether all is well, and if not, why not.
pub(super) fn state(status: &Value, html: &mut String) {
    let troubles = troubles(status);
    let (class, sign, words) = match word(&status["phase"]) {
        "draining" | "ending" => ("warn", "◐", "Ending: no new requests are taken"),
        _ if troubles.is_empty() => ("ok", "●", "Serving, all is well"),
        _ => ("bad", "▲", "Serving, with trouble"),
    };
    let sign = format_args!("<span class=\"sign\" aria-hidden=\"true\">{sign}</span>");
    let _infallible = write!(html, "<p id=\"state\" class=\"state {class}\" role=\"status\">{sign} {words}");
    for trouble in troubles {
        let _infallible = write!(html, "<span class=\"trouble\"> – {}</span>", Text(&trouble));
    }
    html.push_str("</p>");
}

fn troubles(status: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if list(&status["configuration"]["problem"]).next().is_some() {
        all.push("the configuration on disk is wrong, the former one counts".into());
    }
    for upstream in list(&status["upstreams"]).filter(|upstream| upstream["state"] == "down") {
        all.push(format!("{} cannot be reached", word(&upstream["upstream"])));
    }
    for trouble in list(&status["lockout"]) {
        all.push(format!("nothing is sent for {}", word(&trouble["account"])));
    }
    if matches!(word(&status["pac"]["state"]), "unreachable" | "failed") {
        all.push("the PAC script cannot be used".into());
    }
    all
}

pub(super) fn all(status: &Value, html: &mut String) {
    overview(status, html);
    accounts(status, html);
    upstreams(status, html);
    failures(status, html);
    strangers(status, html);
    tunnels(status, html);
}

/// A list of names and what stands behind them; what is empty is left out.
struct Facts<'a>(&'a mut String);

impl<'a> Facts<'a> {
    fn begin(html: &'a mut String) -> Self {
        html.push_str("<dl>");
        Self(html)
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.html(name, &Text(text).to_string());
        }
    }

    fn html(&mut self, name: &str, html: &str) {
        let _infallible = write!(self.0, "<div><dt>{name}</dt><dd>{html}</dd></div>");
    }

    fn end(self) {
        self.0.push_str("</dl>");
    }
}

fn section(html: &mut String, id: &str, title: &str) {
    let _infallible =
        write!(html, "<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{title}</h2>");
}

fn overview(status: &Value, html: &mut String) {
    section(html, "overview", "Overview");
    html.push_str("<div class=\"card\">");
    let mut facts = Facts::begin(html);
    let (profile, reason) = (&status["profile"]["name"], word(&status["profile"]["reason"]));
    let name = profile.as_str().unwrap_or("none");
    let reason =
        if reason.is_empty() { String::new() } else { format!(" <span class=\"muted\">{}</span>", Text(reason)) };
    facts.html("Profile", &format!("<strong>{}</strong>{reason}", Text(name)));
    facts.html("Traffic", &traffic(status));
    let listen: Vec<&str> = list(&status["listen"]).map(word).collect();
    facts.text("Listening on", &listen.join(", "));
    facts.html("Running", &format!("for {}", length(&status["started"])));
    facts.text("System", word(&status["system"]));
    pac(&status["pac"], &mut facts);
    let files: Vec<&str> = list(&status["configuration"]["files"]).map(word).collect();
    let files = if files.is_empty() { "no file".into() } else { files.join(", ") };
    let loaded = moment(&status["configuration"]["loaded"]);
    facts.html("Configuration", &format!("{} <span class=\"muted\">loaded {loaded}</span>", Text(&files)));
    for problem in list(&status["configuration"]["problem"]) {
        facts.html("Mistake", &format!("<span class=\"bad\">{}</span>", Text(word(problem))));
    }
    for (key, name) in [("audit_records", "Audit records lost"), ("log_lines", "Lines of the log lost")] {
        if number(&status["lost"][key]) > 0 {
            facts.text(name, &number(&status["lost"][key]).to_string());
        }
    }
    facts.end();
    html.push_str("</div></section>");
}

fn traffic(status: &Value) -> String {
    let (tunnels, clients) = (number(&status["tunnels"]["count"]), number(&status["traffic"]["clients"]));
    let [up, down] = ["bytes_up", "bytes_down"].map(|key| figures::bytes(number(&status["traffic"][key])));
    format!("{}, {}, {up} sent, {down} received", counted(tunnels, "tunnel"), counted(clients, "client"))
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn pac(pac: &Value, facts: &mut Facts<'_>) {
    if !pac.is_object() {
        return;
    }
    let class = if pac["state"] == "current" { "ok" } else { "warn" };
    let mut words =
        format!("{} <span class=\"{class}\">{}</span>", Text(word(&pac["source"])), Text(word(&pac["state"])));
    if pac["fetched"].is_string() {
        let _infallible = write!(words, " <span class=\"muted\">fetched {}</span>", moment(&pac["fetched"]));
    }
    if let Some(problem) = pac["problem"].as_str() {
        let _infallible = write!(words, " <span class=\"bad\">{}</span>", Text(problem));
    }
    facts.html("PAC script", &words);
}

/// Those for which the breaker is open; no section where there are none.
fn accounts(status: &Value, html: &mut String) {
    section(html, "accounts", "Log-ons that are stopped");
    let mut any = false;
    for trouble in list(&status["lockout"]) {
        any = true;
        let upstream = trouble["upstream"].as_str().map(|at| format!(" by {at}")).unwrap_or_default();
        let next = match trouble["next_trial_seconds"].as_u64() {
            Some(seconds) => format!("It is tried once more in {}.", figures::duration(Duration::from_secs(seconds))),
            None => "It is not tried again before the password is changed, or hallpass login or hallpass status \
                     --retry asks for it."
                .into(),
        };
        let (account, reason) = (word(&trouble["account"]), word(&trouble["reason"]));
        let what = format!("{reason}{upstream}");
        let _infallible = write!(
            html,
            "<div class=\"card alarm\"><h3>{}</h3><p>{} {}</p><p class=\"hint\">{}</p></div>",
            Text(account),
            Text(&what),
            moment(&trouble["since"]),
            Text(&next)
        );
    }
    close_section(html, "accounts", any, "");
}

fn upstreams(status: &Value, html: &mut String) {
    section(html, "upstreams", "Upstreams");
    html.push_str("<div class=\"cards\">");
    let mut any = false;
    for upstream in list(&status["upstreams"]) {
        any = true;
        one_upstream(upstream, html);
    }
    html.push_str("</div>");
    close_section(html, "", any, "No upstream is in use here: requests go direct, or as the PAC script says.");
}

fn one_upstream(upstream: &Value, html: &mut String) {
    let (class, sign, state) = match word(&upstream["state"]) {
        "up" => ("ok", "●", "up"),
        "down" => ("bad", "▲", "down"),
        _ => ("muted", "○", "not used yet"),
    };
    let alarm = if class == "bad" || upstream["breaker"] == "open" { " alarm" } else { "" };
    let _infallible = write!(
        html,
        "<article class=\"card{alarm}\"><h3>{}</h3><p class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {state}",
        Text(word(&upstream["upstream"]))
    );
    if upstream["since"].is_string() {
        let _infallible = write!(html, " for {}", length(&upstream["since"]));
    }
    html.push_str("</p>");
    if let Some(problem) = upstream["problem"].as_str() {
        let _infallible = write!(html, "<p class=\"bad\">{}</p>", Text(problem));
    }
    let mut facts = Facts::begin(html);
    facts.text("Account", upstream["account"].as_str().unwrap_or("none"));
    let was_used = upstream["last_success"].is_string();
    let scheme = upstream["scheme"].as_str().unwrap_or(if was_used { "no log-in asked for" } else { "not known yet" });
    facts.text("Scheme", scheme);
    if was_used {
        facts.html("Last success", &moment(&upstream["last_success"]));
    }
    let (accepted, rejected) = (number(&upstream["logons"]["accepted"]), number(&upstream["logons"]["rejected"]));
    if accepted + rejected > 0 {
        let rejected =
            if rejected > 0 { format!(", <span class=\"bad\">{rejected} rejected</span>") } else { String::new() };
        facts.html("Log-ons", &format!("{accepted} accepted{rejected}"));
    }
    if upstream["breaker"] == "open" {
        facts.html("Breaker", "<span class=\"bad\">open: nothing is sent</span>");
    }
    if upstream["ticket"].is_object() {
        let left = Duration::from_secs(number(&upstream["ticket"]["left_seconds"]));
        let owner = Text(word(&upstream["ticket"]["owner"]));
        let words = match left.is_zero() {
            true => format!("{owner} <span class=\"bad\">has expired; renew it with kinit</span>"),
            false => format!("{owner} <span class=\"muted\">{} left</span>", figures::duration(left)),
        };
        facts.html("Ticket", &words);
    }
    facts.end();
    html.push_str("</article>");
}

fn failures(status: &Value, html: &mut String) {
    section(html, "failures", "Last failures");
    let mut any = false;
    for failure in list(&status["failures"]) {
        if !any {
            html.push_str("<ol class=\"failures\">");
        }
        any = true;
        let count = number(&failure["count"]);
        let count = if count > 1 { format!(", {}", figures::times(count)) } else { String::new() };
        let _infallible = write!(
            html,
            "<li class=\"card\"><p class=\"head\"><strong>{}</strong> <span class=\"muted\">{}{count}</span></p>\
             <p>{}{}</p><p class=\"hint\">{}</p><p class=\"muted small\">{} {} · request {}</p></li>",
            Text(failure["target"].as_str().unwrap_or("no target")),
            moment(&failure["time"]),
            Text(word(&failure["cause"])),
            at_fault(failure),
            Text(word(&failure["hint"])),
            number(&failure["status"]),
            Text(word(&failure["end"])),
            Text(word(&failure["id"])),
        );
    }
    if any {
        html.push_str("</ol>");
    }
    close_section(html, "", any, "Nothing has failed since the relay began.");
}

fn at_fault(failure: &Value) -> String {
    let whose = failure["at_fault"].as_str();
    whose.map(|whose| format!(" <span class=\"muted\">– at fault: {}</span>", Text(whose))).unwrap_or_default()
}

/// Who came and may not come in.
fn strangers(status: &Value, html: &mut String) {
    section(html, "strangers", "Clients that were refused");
    let mut any = false;
    for refused in list(&status["refused"]) {
        any = true;
        let _infallible = write!(
            html,
            "<div class=\"card\"><p>{} <span class=\"muted\">{}, last {}</span></p><p class=\"hint\">{}</p></div>",
            Text(word(&refused["cause"])),
            figures::times(number(&refused["count"])),
            moment(&refused["last"]),
            Text(word(&refused["remedy"])),
        );
    }
    close_section(html, "strangers", any, "");
}

/// A section that has nothing to say is hidden if it has a name here, else it says so.
fn close_section(html: &mut String, hidden: &str, any: bool, otherwise: &str) {
    if !any && !hidden.is_empty() {
        let open = format!("<section id=\"{hidden}\"");
        if let Some(at) = html.rfind(&open) {
            html.insert_str(at + open.len(), " hidden");
        }
    } else if !any {
        let _infallible = write!(html, "<p class=\"empty\">{otherwise}</p>");
    }
    html.push_str("</section>");
}

/// The columns: what the script sorts by stands in each cell's `data-by`.
const COLUMNS: [(&str, &str); 7] = [
    ("Target", ""),
    ("Client", "wide"),
    ("By way of", "wide"),
    ("Sent", "figure"),
    ("Received", "figure"),
    ("Age", "figure"),
    ("Last activity", "figure"),
];

fn tunnels(status: &Value, html: &mut String) {
    section(html, "tunnels", "Tunnels");
    // Newest first: rows stay where they are while their figures change.
    let mut all: Vec<&Value> = list(&status["tunnels"]["list"]).collect();
    let place = |tunnel: &Value| word(&tunnel["id"]).rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
    all.sort_by_key(|tunnel| Reverse(place(tunnel)));
    let (count, told) = (number(&status["tunnels"]["count"]), all.len());
    let hidden = if told == 0 { " hidden" } else { "" };
    let _infallible = write!(
        html,
        "<p class=\"empty\"{}>No tunnel is open.</p>\
         <p id=\"filter\" hidden data-keep><label>Filter <input type=\"search\" autocomplete=\"off\" spellcheck=\"false\"></label> \
         <span role=\"status\"></span></p>\
         <div id=\"scroller\" class=\"scroller\" role=\"region\" aria-labelledby=\"tunnels-title\" tabindex=\"0\"{hidden}>\
         <table><caption>{}</caption><thead data-keep><tr>",
        if told == 0 { "" } else { " hidden" },
        caption(count, told),
    );
    for (name, class) in COLUMNS {
        let _infallible = write!(html, "<th scope=\"col\" class=\"{class}\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    all.into_iter().for_each(|tunnel| row(tunnel, html));
    html.push_str("</tbody></table></div></section>");
}

fn caption(count: u64, told: usize) -> String {
    match usize::try_from(count) {
        Ok(count) if count > told => {
            format!("{count} tunnels are open, of which the {told} that were active last are shown")
        }
        _ if count == 1 => "1 tunnel is open".into(),
        _ => format!("{count} tunnels are open"),
    }
}

fn row(tunnel: &Value, html: &mut String) {
    let program = tunnel["program"].as_str().map(|path| path.rsplit(['/', '\\']).next().unwrap_or(path));
    let client = program.unwrap_or_else(|| word(&tunnel["client"]));
    let user = tunnel["uid"].as_u64().map(|uid| uid.to_string());
    let user = user.as_deref().or(tunnel["sid"].as_str()).map(|user| format!(", user {user}")).unwrap_or_default();
    let full = format!(
        "{}{user}{}",
        word(&tunnel["client"]),
        tunnel["program"].as_str().map(|p| format!(", {p}")).unwrap_or_default()
    );
    let [up, down] = ["bytes_up", "bytes_down"].map(|key| number(&tunnel[key]));
    let [age, idle] = ["age_seconds", "idle_seconds"].map(|key| number(&tunnel[key]));
    let seconds = |seconds| figures::duration(Duration::from_secs(seconds));
    let figure = |by: u64, text: &str| format!("<td class=\"figure\" data-by=\"{by}\">{text}</td>");
    let _infallible = write!(
        html,
        "<tr id=\"{}\"><th scope=\"row\" title=\"{}\">{}</th><td class=\"wide\" title=\"{}\">{}</td><td class=\"wide\">{}</td>{}{}{}{}</tr>",
        Text(word(&tunnel["id"])),
        Text(word(&tunnel["target"])),
        Text(word(&tunnel["target"])),
        Text(&full),
        Text(client),
        Text(word(&tunnel["hop"])),
        figure(up, &figures::bytes(up)),
        figure(down, &figures::bytes(down)),
        figure(age, &seconds(age)),
        figure(idle, &if idle == 0 { "now".into() } else { format!("{} ago", seconds(idle)) }),
    );
}

/// How long ago.
fn moment(value: &Value) -> String {
    time(value, |past| if past.as_secs() == 0 { "just now".into() } else { format!("{} ago", figures::duration(past)) })
}

/// How long it has been so.
fn length(value: &Value) -> String {
    time(value, figures::duration)
}

/// With the exact time for whoever points at it.
fn time(value: &Value, words: impl Fn(Duration) -> String) -> String {
    let text = word(value);
    let Ok(at) = text.parse::<Timestamp>() else { return Text(text).to_string() };
    let past = Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default();
    format!("<time datetime=\"{0}\" title=\"{0}\">{1}</time>", Text(text), words(past))
}
