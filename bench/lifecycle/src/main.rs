//! What becomes of connections when servers and paths fail; each measurement is a subcommand.

mod alarms;
mod blackhole;
mod drain;
mod herd;
mod idle;
mod namespaces;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use pico_args::Arguments;

const USAGE: &str = "\
usage: lifecycle COMMAND

  blackhole [--short] [--slack SECONDS]
        lets peers vanish: both ends in network namespaces, iptables drops every packet. Fails if
        one end of a connection notices later than promised, or sees something else. --short leaves
        out what takes longer than 10 s, --slack allows so much more (default 0). Needs root; where
        it may not make namespaces it says so and exits with status 77.

  alarms [--hours N] [--seed N]
        walks through N hours (default 10000) of delays, messages and stalls of up to 10 minutes
        with each policy, in virtual time. Fails if a peer that lives is given up.

  idle [--server PATH] [--connections N] [--interval MILLISECONDS] [--rounds N] [--seconds N]
        opens N connections (default 19000) to `everwire serve` (default
        ../target/release/everwire) that are pinged at this interval (default 2500), and compares
        with a bare loop that sends and reads the same, over so many rounds (default 4) of so many
        seconds (default 10). Fails above 1.3 times its CPU time, or 16 bytes for each connection.

  herd [--clients N] [--rate N] [--seed N]
        simulates clients that lost one server together: N clients (default 50000), a server that
        admits N a second (default 1000), random numbers from N (default 1). Fails if those that
        were given advice are not back in time, or come too many at once.

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
        Some("blackhole") => blackhole(args),
        Some("alarms") => alarms(args),
        Some("idle") => idle(args),
        // The processes that `idle` starts.
        Some("idle-bare") => {
            drain::raise_limit()?;
            let interval = Duration::from_millis(args.free_from_str()?);
            idle::bare::serve(interval, args.free_from_str()?)
        }
        Some("idle-pinged") => {
            drain::raise_limit()?;
            idle::pinged::run(args.free_from_str()?)
        }
        Some("herd") => herd(args),
        Some("drain") => drain(args),
        _ => {
            print!("{USAGE}");
            Ok(())
        }
    }
}

fn blackhole(mut args: Arguments) -> Result<()> {
    let is_short = args.contains("--short");
    let slack = Duration::from_secs(args.opt_value_from_str("--slack")?.unwrap_or(0));
    finish(args)?;
    if let Some(missing) = namespaces::missing() {
        println!("skipped: {missing}");
        std::process::exit(77);
    }
    let rows = blackhole::rows(is_short);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcomes = runtime.block_on(blackhole::measure(&rows, slack))?;
    print!("{}", blackhole::table(&rows, &outcomes));
    blackhole::check(&rows, &outcomes)
}

fn alarms(mut args: Arguments) -> Result<()> {
    let hours = args.opt_value_from_str("--hours")?.unwrap_or(10_000);
    let seed = args.opt_value_from_str("--seed")?.unwrap_or(1);
    finish(args)?;
    let walks = alarms::walk(hours, seed);
    print!("{}", alarms::table(&walks));
    for walk in walks {
        walk.result?;
    }
    Ok(())
}

fn idle(mut args: Arguments) -> Result<()> {
    let interval = args.opt_value_from_str("--interval")?.unwrap_or(2_500);
    let scenario = idle::Scenario {
        server: server(&mut args)?,
        n_connections: args.opt_value_from_str("--connections")?.unwrap_or(19_000),
        interval: Duration::from_millis(interval),
        rounds: args.opt_value_from_str("--rounds")?.unwrap_or(4),
        seconds: args.opt_value_from_str("--seconds")?.unwrap_or(10),
    };
    finish(args)?;
    drain::raise_limit()?;
    let outcome = scenario.run()?;
    print!("{}", outcome.table(&scenario));
    outcome.check()
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

fn drain(mut args: Arguments) -> Result<()> {
    let scenario = drain::Scenario {
        server: server(&mut args)?,
        n_connections: args.opt_value_from_str("--connections")?.unwrap_or(10_000),
        rate: args.opt_value_from_str("--rate")?.unwrap_or(5_000),
        deadline: args.opt_value_from_str("--deadline")?.unwrap_or(10),
    };
    finish(args)?;
    let outcome = scenario.run()?;
    print!("{}", outcome.table(&scenario));
    outcome.check(&scenario)
}

fn server(args: &mut Arguments) -> Result<std::path::PathBuf> {
    let server = args.opt_value_from_str("--server")?;
    Ok(server.unwrap_or_else(|| "../target/release/everwire".into()))
}

fn finish(args: Arguments) -> Result<()> {
    let rest = args.finish();
    if !rest.is_empty() {
        bail!("unknown arguments: {rest:?}");
    }
    Ok(())
}
