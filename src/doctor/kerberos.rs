//! Kerberos for an upstream: realm, KDC, clocks, ticket, service name. No secret is shown.

use std::sync::Arc;
use std::time::Duration;

use super::{Case, Check, Finding, Stage, State, upstream};
use crate::address::Endpoint;
use crate::auth::Scheme;
use crate::auth::kerberos::{AccountView, KdcView, KerberosView, OwnTicket, Token};

/// What every KDC allows (RFC 4120 §8.2), in seconds.
const MOST_APART: u64 = 300;
/// Worth a word before it hurts.
const NOTABLY_APART: u64 = 60;
/// Less is left than a day's work takes.
const SHORTLY: Duration = Duration::from_secs(15 * 60);

pub(super) fn name(endpoint: &Endpoint) -> String {
    format!("kerberos {}", endpoint.target)
}

/// `None` where Kerberos has nothing to do with it.
pub(super) fn check(case: &Arc<Case>, endpoint: &Endpoint) -> Option<Check> {
    if endpoint.is_socks() {
        return None;
    }
    let limit = case.handshake_limit();
    let (case, endpoint) = (case.clone(), endpoint.clone());
    let (name, rests_on) = (name(&endpoint), upstream::name(&endpoint));
    let work = async move { look(case, endpoint).await };
    Some(Check::new(Stage::Kerberos, name, limit, work).rests_on([rests_on]))
}

async fn look(case: Arc<Case>, endpoint: Endpoint) -> Finding {
    let offer = case.notes.offer(&endpoint);
    if offer.as_ref().is_some_and(|offer| !offer.wants_log_in) {
        return Finding::skipped("not needed: no log-in is wanted");
    }
    let offers =
        |name: &str| offer.as_ref().is_none_or(|offer| offer.schemes.iter().any(|one| one.eq_ignore_ascii_case(name)));
    let allowed = case.schemes(&endpoint);
    let is_allowed = allowed.contains(&Scheme::Negotiate);
    let others = offer.iter().flat_map(|offer| &offer.schemes).filter_map(|scheme| scheme.parse::<Scheme>().ok());
    let is_alone = !others.into_iter().any(|scheme| scheme != Scheme::Negotiate && allowed.contains(&scheme));
    let is_wanted = is_allowed && offers(Scheme::Negotiate.token());
    let mechanisms = case.proxy.upstreams.mechanisms.clone();
    let asked = endpoint.clone();
    let view = tokio::task::spawn_blocking(move || mechanisms.kerberos(&asked)).await;
    let Ok(Some(view)) = view else { return Finding::skipped("no credential is meant for this upstream") };
    let finding = if is_wanted { of_view(&view) } else { of_account(&view) };
    // What the KDC says of an account holds for every scheme; its clock matters to Kerberos alone.
    if finding.state == State::Failed
        && (view.speaks_against_the_account() || is_wanted && is_alone && view.clocks().is_some())
    {
        case.notes.gives_up(&endpoint);
    }
    finding
}

impl KerberosView {
    fn speaks_against_the_account(&self) -> bool {
        let account = self.kdc.as_ref().map(|kdc| &kdc.account);
        matches!(account, Ok(AccountView::Unknown | AccountView::Locked | AccountView::Expired))
    }

    /// By how many seconds the KDC is ahead, if that is too much.
    fn clocks(&self) -> Option<i64> {
        self.kdc.as_ref().ok()?.ahead.filter(|ahead| ahead.unsigned_abs() > MOST_APART)
    }

    fn principal_or(&self, other: &str) -> String {
        self.principal.clone().unwrap_or_else(|_| other.into())
    }
}

/// Where the upstream does not offer it, the KDC is still the one who knows the account.
fn of_account(view: &KerberosView) -> Finding {
    match &view.kdc {
        Ok(kdc) => of_kdc(view, kdc).unwrap_or_else(|| {
            Finding::fine(format!(
                "not offered here; the KDC {} knows {}",
                kdc.server,
                view.principal_or("the account")
            ))
        }),
        Err(_) => Finding::skipped("not offered or not allowed here"),
    }
}

fn of_view(view: &KerberosView) -> Finding {
    let fault = match &view.kdc {
        Ok(kdc) => of_kdc(view, kdc).or_else(|| of_clocks(view, kdc)),
        Err(_) => None,
    };
    if let Some(fault) = fault {
        return fault;
    }
    let services = view.services.as_ref().map(|all| all.join(", ")).unwrap_or_default();
    let ticket = view.ticket.as_ref().map_or_else(|_| "a ticket is there".into(), of_ticket);
    let kdc = view.kdc.as_ref().map(|kdc| format!(", KDC {} ({})", kdc.server, apart(kdc))).unwrap_or_default();
    match &view.token {
        Token::Made if view.ticket.as_ref().is_ok_and(|ticket| ticket.left.is_some_and(|left| left < SHORTLY)) => {
            Finding::warning(format!("{ticket}, {services} is known{kdc}"), "renew the ticket: kinit")
        }
        Token::Made => Finding::fine(format!("{ticket}, {services} is known{kdc}")),
        Token::NeedsSecret => match &view.kdc {
            Ok(_) => Finding::fine(format!("{} is known, no ticket yet{kdc}", view.principal_or("the account"))),
            Err(why) => Finding::failed(
                format!("nobody who could give a ticket to {} answers: {why}", view.principal_or("the account")),
                "name the KDC, kdc = [\"HOST:88\"] in [credentials.NAME], or see whether this is the network where it is",
            ),
        },
        Token::Missing(why) => of_missing(view, why),
    }
}

/// What the KDC has against the account.
fn of_kdc(view: &KerberosView, kdc: &KdcView) -> Option<Finding> {
    let (who, server) = (view.principal_or("the account"), &kdc.server);
    match &kdc.account {
        AccountView::Known => None,
        AccountView::Unknown => Some(Finding::failed(
            format!("the KDC {server} does not know the user {who} (KDC_ERR_C_PRINCIPAL_UNKNOWN)"),
            "correct user = \u{2026}: its name, its domain or its realm is mistyped",
        )),
        AccountView::Locked => Some(Finding::failed(
            format!("the account {who} is locked or disabled (KDC_ERR_CLIENT_REVOKED)"),
            "have it unlocked, then hallpass status --retry",
        )),
        AccountView::Expired => Some(Finding::failed(
            format!("the password of {who} has expired (KDC_ERR_KEY_EXPIRED)"),
            "change it where you log in to the network, then hallpass login",
        )),
        AccountView::Unsaid(why) => Some(Finding::warning(
            format!("the KDC {server} says of {who}: {why}"),
            "ask whoever runs the directory what that means",
        )),
    }
}

fn of_clocks(view: &KerberosView, kdc: &KdcView) -> Option<Finding> {
    let ahead = view.clocks()?;
    Some(Finding::failed(
        format!(
            "this machine's clock is {} s {} that of the KDC {}, and Kerberos allows {MOST_APART} s (KRB_AP_ERR_SKEW)",
            ahead.unsigned_abs(),
            if ahead > 0 { "behind" } else { "ahead of" },
            kdc.server
        ),
        "set the clock, best by the network's own time server (timedatectl set-ntp true; w32tm /resync)",
    ))
}

/// The mechanism's own words say what is wrong; what to do about it follows from the rest.
fn of_missing(view: &KerberosView, why: &str) -> Finding {
    let advice = match (&view.services, &view.ticket, &view.kdc) {
        (Err(_), ..) => "name the upstream by the name that the directory knows, or set spn = \"HTTP/NAME\"",
        (_, Err(_), _) => {
            "log on: kinit USER@REALM; or name an account with a password: user = \u{2026}, then hallpass login"
        }
        (_, Ok(_), Err(_)) => "see whether this is the network where the KDC is, and what krb5.conf says of it",
        (_, Ok(_), Ok(_)) => {
            "set spn = \"HTTP/NAME\" or canonicalize in [upstreams.NAME], or have the service registered (setspn -S)"
        }
    };
    // Without a user, all there can be is a ticket, and why there is none says more than what is missing then.
    let why = match (&view.principal, &view.ticket) {
        (Err(_), Err(reason)) => reason,
        (Ok(_), _) | (_, Ok(_)) => why,
    };
    let skew = view.kdc.as_ref().ok().and_then(|kdc| kdc.ahead);
    Finding::failed(why, advice).details(skew.map(|ahead| format!("the KDC's clock is {ahead} s ahead of this one's")))
}

fn of_ticket(ticket: &OwnTicket) -> String {
    match ticket.left {
        Some(left) => format!("ticket of {} for {} min", ticket.owner, left.as_secs() / 60),
        None => format!("ticket of {}", ticket.owner),
    }
}

fn apart(kdc: &KdcView) -> String {
    match kdc.ahead {
        Some(ahead) if ahead.unsigned_abs() > NOTABLY_APART => format!("its clock is {ahead} s ahead"),
        Some(ahead) => format!("clocks {} s apart", ahead.unsigned_abs()),
        None => "it tells no time".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All is well, by a ticket.
    fn view() -> KerberosView {
        KerberosView {
            ticket: Ok(OwnTicket { owner: "alice@CORP.TEST".into(), left: Some(Duration::from_secs(36_000)) }),
            principal: Ok("alice@CORP.TEST".into()),
            kdc: Ok(KdcView { server: "dc1:88".into(), ahead: Some(-2), account: AccountView::Known }),
            services: Ok(vec!["HTTP/proxy.corp.test".into()]),
            token: Token::Made,
        }
    }

    fn kdc(ahead: i64, account: AccountView) -> KerberosView {
        KerberosView { kdc: Ok(KdcView { server: "dc1:88".into(), ahead: Some(ahead), account }), ..view() }
    }

    #[test]
    fn the_most_exact_cause_is_told() {
        let shortly = OwnTicket { owner: "alice@CORP.TEST".into(), left: Some(Duration::from_secs(60)) };
        let missing = |why: &str| Token::Missing(why.into());
        for (view, state, words) in [
            (view(), State::Fine, "ticket of alice@CORP.TEST for 600 min, HTTP/proxy.corp.test is known, KDC dc1:88"),
            (KerberosView { ticket: Ok(shortly), ..view() }, State::Warning, "for 1 min"),
            (kdc(301, AccountView::Known), State::Failed, "clock is 301 s behind that of the KDC dc1:88"),
            (kdc(-301, AccountView::Known), State::Failed, "clock is 301 s ahead of that of the KDC"),
            (kdc(-300, AccountView::Known), State::Fine, "its clock is -300 s ahead"),
            (kdc(0, AccountView::Unknown), State::Failed, "KDC_ERR_C_PRINCIPAL_UNKNOWN"),
            (kdc(900, AccountView::Locked), State::Failed, "KDC_ERR_CLIENT_REVOKED"),
            (kdc(0, AccountView::Expired), State::Failed, "KDC_ERR_KEY_EXPIRED"),
            (
                KerberosView { token: Token::NeedsSecret, ..view() },
                State::Fine,
                "alice@CORP.TEST is known, no ticket yet",
            ),
            (
                KerberosView { token: Token::NeedsSecret, kdc: Err("no KDC answers".into()), ..view() },
                State::Failed,
                "no KDC answers",
            ),
            (KerberosView { token: missing("no such service"), ..view() }, State::Failed, "no such service"),
            (
                KerberosView {
                    token: missing("nothing found"),
                    ticket: Err("it has expired".into()),
                    principal: Err("nobody".into()),
                    ..view()
                },
                State::Failed,
                "it has expired",
            ),
        ] {
            let finding = of_view(&view);
            assert!(finding.state == state && finding.says.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn what_to_do_follows_from_what_is_there() {
        let missing = || KerberosView { token: Token::Missing("why".into()), ..view() };
        for (view, words) in [
            (missing(), "spn = "),
            (KerberosView { ticket: Err("none".into()), ..missing() }, "kinit"),
            (KerberosView { kdc: Err("silence".into()), ..missing() }, "krb5.conf"),
            (KerberosView { services: Err("an address".into()), ..missing() }, "the name that the directory knows"),
        ] {
            let advice = of_view(&view).advice.unwrap();
            assert!(advice.contains(words), "{advice}");
        }
    }

    #[test]
    fn a_clock_matters_only_where_kerberos_is_wanted_and_an_account_everywhere() {
        assert_eq!(of_account(&kdc(999, AccountView::Known)).state, State::Fine);
        assert_eq!(of_account(&kdc(0, AccountView::Locked)).state, State::Failed);
        assert_eq!(of_account(&KerberosView { kdc: Err("nobody".into()), ..view() }).state, State::Skipped);
    }
}
