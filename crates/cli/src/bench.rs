//! `everwire bench`: loads a server, looks at everything that comes back, and measures.

mod alarm;
mod args;
mod broadcast;
mod compare;
mod connect;
mod echo;
mod expectation;
mod idle;
mod lateness;
mod ledger;
mod load;
mod metric;
mod opening;
mod payload;
mod plan;
mod quiet;
mod report;
mod schedule;
mod server;
mod stage;
mod storm;
mod tally;
mod target;
mod text;
mod times;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use serde::Serialize;

pub(crate) use self::args::Args;
use self::{args::OutputArgs, compare::Comparison, load::Outcome, plan::Plan, report::Report};

/// An expectation was not held, or nobody takes the report.
const FAILED: u8 = 1;
/// The command line cannot be followed.
const USAGE: u8 = 2;
/// There is no connection.
const NO_CONNECTION: u8 = 3;
/// Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Measures, prints the report, and says with the status how it turned out.
pub(crate) fn run(args: Args) -> ExitCode {
    let result = match &args.scenario {
        Some(scenario) => {
            Plan::new(scenario).and_then(|plan| measure(plan, &scenario.common().output))
        }
        None => compare(&args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            writeln!(io::stderr(), "everwire: {error}").ok();
            ExitCode::from(USAGE)
        }
    }
}

/// Carries a plan out and reports.
fn measure(plan: Plan, output: &OutputArgs) -> Result<u8, String> {
    let plan = Arc::new(plan);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let outcome = runtime.block_on(load::conduct(plan.clone()))?;
    runtime.shutdown_background();
    let status = match &outcome {
        Outcome { was_interrupted: true, .. } => Some(INTERRUPTED),
        Outcome { tally, .. } if tally.opened == 0 => Some(NO_CONNECTION),
        _ => None,
    };
    let mut report = Report::new(&plan, outcome, output.allow_late);
    let is_as_expected = report.judge(&output.expectations);
    let printed = if output.json { json(&report)? } else { text::render(&report) };
    let is_printed = print(&printed);
    for judged in report.expectations.iter().filter(|judged| !judged.held) {
        let (expected, came) = (&judged.expected, &judged.came);
        writeln!(io::stderr(), "everwire: expected {expected}, came {came}").ok();
    }
    if status == Some(NO_CONNECTION) {
        let why = report.failures.keys().next().map_or("interrupted", String::as_str);
        writeln!(io::stderr(), "everwire: no connection: {why}").ok();
    }
    let is_fine = is_as_expected && is_printed;
    Ok(status.unwrap_or(if is_fine { 0 } else { FAILED }))
}

/// Compares two reports.
fn compare(args: &Args) -> Result<u8, String> {
    let [before, after] = args.compare.as_slice() else {
        return Err("expected a scenario, such as echo (try --help)".to_owned());
    };
    let comparison = Comparison::read(before, after, args.tolerance.0 / 100.0)?;
    let printed = if args.json { json(&comparison)? } else { comparison.render() };
    let is_fine = print(&printed) && !comparison.is_worse();
    Ok(if is_fine { 0 } else { FAILED })
}

fn json(value: &impl Serialize) -> Result<String, String> {
    let json = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(json + "\n")
}

/// Writes to stdout. Returns whether it was taken, or nobody wanted it.
fn print(text: &str) -> bool {
    let written = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            writeln!(io::stderr(), "everwire: cannot write to stdout: {error}").ok();
            false
        }
        _ => true,
    }
}
