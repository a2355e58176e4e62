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
use crate::stdout::print;

/// An expectation was not held, or something became worse.
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
        Ok(code) => code,
        Err(error) => {
            writeln!(io::stderr(), "everwire: {error}").ok();
            ExitCode::from(USAGE)
        }
    }
}

/// Carries a plan out and reports.
fn measure(plan: Plan, output: &OutputArgs) -> Result<ExitCode, String> {
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
    let expectations: Vec<_> = output.expectations.iter().flat_map(|several| &several.0).collect();
    let is_as_expected = report.judge(&expectations);
    let printed = if output.json { json(&report)? } else { text::render(&report) };
    for judged in report.expectations.iter().filter(|judged| !judged.held) {
        let (expected, came) = (&judged.expected, &judged.came);
        writeln!(io::stderr(), "everwire: expected {expected}, came {came}").ok();
    }
    if status == Some(NO_CONNECTION) {
        let why = report.failures.keys().next().map_or("interrupted", String::as_str);
        writeln!(io::stderr(), "everwire: no connection: {why}").ok();
    }
    let status = status.unwrap_or(if is_as_expected { 0 } else { FAILED });
    Ok(print(printed.as_bytes(), ExitCode::from(status)))
}

/// Compares two reports.
fn compare(args: &Args) -> Result<ExitCode, String> {
    let [before, after] = args.compare.as_slice() else {
        return Err("expected a scenario, such as echo (try --help)".to_owned());
    };
    let comparison = Comparison::read(before, after, args.tolerance.0 / 100.0)?;
    let printed = if args.json { json(&comparison)? } else { comparison.render() };
    let status = if comparison.is_worse() { FAILED } else { 0 };
    Ok(print(printed.as_bytes(), ExitCode::from(status)))
}

fn json(value: &impl Serialize) -> Result<String, String> {
    let json = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(json + "\n")
}
