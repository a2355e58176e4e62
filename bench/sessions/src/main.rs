//! Measures sessions of `everwire.v1`: `run` builds and calls this.

mod broadcast;
mod cuts;

use anyhow::{Result, bail};
use pico_args::Arguments;

fn main() -> Result<()> {
    let mut arguments = Arguments::from_env();
    match arguments.subcommand()?.as_deref() {
        Some("cuts") => cuts::run(arguments),
        Some("broadcast") => broadcast::run(arguments),
        _ => bail!("name a measurement: cuts, broadcast"),
    }
}

/// Refuses what is left of the command line.
fn finish(arguments: Arguments) -> Result<()> {
    match arguments.finish().as_slice() {
        [] => Ok(()),
        rest => bail!("unknown: {rest:?}"),
    }
}
