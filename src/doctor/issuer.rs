//! Who signed the certificate that a target shows: a company that reads along signs it anew, and programs that bring
//! their own list of authorities must be told. Nothing is sent behind the handshake.

use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Case, Check, Finding, Stage, Want};
use crate::proxy::chain;
use crate::upstream::shown::{self, Shown, Trust};

/// RFC 7468 §2.
const PEM_LINE: usize = 64;

/// `None` where no TLS is spoken.
pub(super) fn check(case: &Arc<Case>, at: usize) -> Option<Check> {
    let want = case.wants.get(at)?;
    if !want.wanted.is_tls() {
        return None;
    }
    let (name, rests_on, limit) = (format!("certificate {}", want.target), want.check_name(), case.handshake_limit());
    let case = case.clone();
    let work = async move {
        match case.wants.get(at) {
            Some(want) => look(&case, want).await,
            None => Finding::skipped("it is gone"),
        }
    };
    Some(Check::new(Stage::Inspection, name, limit, work).rests_on([rests_on]))
}

async fn look(case: &Case, want: &Want) -> Finding {
    let Some(tunnel) = case.notes.take_tunnel(&want.target) else {
        return Finding::skipped("not seen: the target was not reached");
    };
    let shown = match shown::look(&want.target, tunnel.wire.stream).await {
        Ok(shown) => shown,
        Err(error) => {
            return Finding::failed(
                format!("{} is reached, but speaks no TLS: {}", want.target, chain(&error)),
                "is its port right; does something on the way cut TLS connections off",
            );
        }
    };
    if shown.trust == Trust::Trusted && shown.is_of_public_authority() {
        return Finding::fine(format!("signed by {}, a public authority", shown.issuer()));
    }
    let written = keep(case, &shown).await;
    judge(want, &shown, &case.ca_out, written)
}

/// Beside those of other targets: a program is told of one file.
async fn keep(case: &Case, shown: &Shown) -> io::Result<()> {
    let mut all = case.notes.authorities.lock().await;
    for block in pem(shown) {
        if !all.contains(&block) {
            all.push(block);
        }
    }
    let (file, text) = (case.ca_out.clone(), all.concat());
    let written = tokio::task::spawn_blocking(move || write(&file, &text)).await;
    written.unwrap_or_else(|_| Err(io::Error::other("writing broke off")))
}

fn judge(want: &Want, shown: &Shown, file: &Path, written: io::Result<()>) -> Finding {
    let (target, issuer) = (&want.target, shown.issuer());
    let line = match written {
        Ok(()) if shown.is_complete() => format!("NODE_EXTRA_CA_CERTS={}", file.display()),
        Ok(()) => format!(
            "NODE_EXTRA_CA_CERTS=FILE with the certificate of {issuer}: ask for it, {target} does not show it (what it shows is in {})",
            file.display()
        ),
        Err(error) => format!("its authorities could not be written to {}: {error} (see --ca-out)", file.display()),
    };
    match &shown.trust {
        Trust::Trusted => Finding::warning(
            format!("signed by {issuer}, trusted here but not public: TLS is read on the way, or this is a host of your company"),
            "programs with a list of their own (Node, Claude Code, Python, Java) must be told of the authority:",
        )
        .detail(line),
        Trust::UnknownIssuer => Finding::failed(
            format!("the certificate of {target} is signed by {issuer}, an authority that this system does not know: TLS is inspected on the way"),
            "ask who runs the network whether that authority is theirs; if it is, have it installed, and tell programs \
             with a list of their own (Node, Claude Code):",
        )
        .detail(line),
        Trust::OtherName => Finding::failed(
            format!("the certificate of {target}, signed by {issuer}, is meant for another name: something on the way answers in its place"),
            "is this a network that wants a log-in by browser first; else tell whoever runs the proxy",
        ),
        Trust::OutOfTime => Finding::failed(
            format!("the certificate of {target}, signed by {issuer}, is not valid at this time"),
            "look at this machine's clock first",
        ),
        Trust::Otherwise(why) => Finding::failed(
            format!("the certificate of {target}, signed by {issuer}, cannot be used: {why}"),
            "tell whoever runs the proxy",
        ),
    }
}

fn pem(shown: &Shown) -> Vec<String> {
    let block = |der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(PEM_LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    shown.authorities().into_iter().map(|one| block(one)).collect()
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(file, text)
}
