//! What becomes of connections when servers and paths fail; each measurement is a subcommand.

mod drain;
mod herd;

use anyhow::{Context, Result, bail};
use pico_args::Arguments;

const USAGE: &str = "\
usage: lifecycle COMMAND

  drain [--server PATH] [--connections N] [--rate N] [--deadline SECONDS]
        opens N connections (default 10000) to `everwire serve` (default
        ../target/release/everwire), ends it by SIGTERM with this rate (default 5000 a second) and
        deadline (default 10), and looks at what each connection sees. Fails unless all of them see
        the close code and an end without a reset, in time.

  herd [--clients N] [--rate N] [--seed N]
        simulates clients that lost one server together: N clients (default 50000), a server that
        admits N a second (default 1000), random numbers from N (default 1). Fails if those that
        were given advice are not back in time, or come too many at once.
";

fn main() -> Result<()> {
    let mut args = Arguments::from_env();
    let command = args.subcommand()?;
    match command.as_deref() {
        Some("drain") => drain(args),
        Some("herd") => herd(args),
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
    finish(args)?;
    let outcome = scenario.run()?;
    print!("{}", outcome.table(&scenario));
    outcome.check(&scenario)
}

fn herd(mut args: Arguments) -> Result<()> {
    let n_clients = args.opt_value_from_str("--clients")?.unwrap_or(50_000);
    let rate = args.opt_value_from_str("--rate")?.unwrap_or(1_000);
    let seed = args.opt_value_from_str("--seed")?.unwrap_or(1);
    finish(args)?;
    let rows = herd::Scenario::all(n_clients, rate).map(|scenario| {
        let outcome = scenario.run(seed);
        (scenario, outcome)
    });
    print!("{}", herd::table(&rows));
    for (scenario, outcome) in &rows {
        scenario.check(outcome).with_context(|| format!("in the row \"{}\"", scenario.name))?;
    }
    Ok(())
}

/// Refuses what was not asked for.
fn finish(args: Arguments) -> Result<()> {
    let rest = args.finish();
    if !rest.is_empty() {
        bail!("unknown arguments: {rest:?}");
    }
    Ok(())
}
