//! `hallpass config schema`: the JSON Schema of hallpass.toml, for editors.

use crate::cli::output;
use crate::config;

pub fn run() -> anyhow::Result<()> {
    output::say(format_args!("{:#}", config::schema()?));
    Ok(())
}
