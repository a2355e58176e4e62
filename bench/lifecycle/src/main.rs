//! What becomes of connections when servers and paths fail; each measurement is a subcommand.

mod drain;

use anyhow::{Result, bail};
use pico_args::Arguments;

const USAGE: &str = "\
usage: lifecycle COMMAND

  drain [--server PATH] [--connections N] [--rate N] [--deadline SECONDS]
        opens N connections (default 10000) to `everwire serve` (default
        ../target/release/everwire), ends it by SIGTERM with this rate (default 5000 a second) and
        deadline (default 10), and looks at what each connection sees. Fails unless all of them see
        the close code and an end without a reset, in time.
";

fn main() -> Result<()> {
    let mut args = Arguments::from_env();
    let command = args.subcommand()?;
    match command.as_deref() {
        Some("drain") => drain(args),
        _ => {
            print!("{USAGE}");
            Ok(())
        }
    }
}

fn drain(mut args: Arguments) -> Result<()> {
    let scenario = drain::Scenario {
        server: args
            .opt_value_from_str("--server")?
            .unwrap_or_else(|| "../target/release/everwire".into()),
        n_connections: args.opt_value_from_str("--connections")?.unwrap_or(10_000),
        rate: args.opt_value_from_str("--rate")?.unwrap_or(5_000),
        deadline: args.opt_value_from_str("--deadline")?.unwrap_or(10),
    };
    let rest = args.finish();
    if !rest.is_empty() {
        bail!("unknown arguments: {rest:?}");
    }
    let outcome = scenario.run()?;
    print!("{}", outcome.table(&scenario));
    outcome.check(&scenario)
}
