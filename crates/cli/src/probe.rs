//! `everwire probe`: examines a server and the way to it.

mod args;
mod certificate;
mod closing;
mod doctor;
mod echo;
mod extensions;
mod fault;
mod idle;
mod line;
mod message;
mod ping;
mod reach;
mod report;
mod rtt;
mod setup;
mod size_search;
mod text;
mod upgrade;
mod walk;

use std::{
    io::{self, Write},
    process::ExitCode,
};

pub(crate) use self::args::Args;
use self::{doctor::Doctor, setup::Setup};
use crate::stdout;

/// The command line cannot be followed.
const USAGE: u8 = 2;

/// Examines, prints the report, and says with the status how it turned out.
pub(crate) fn run(args: Args) -> ExitCode {
    let setup = match Setup::new(&args) {
        Ok(setup) => setup,
        Err(error) => return usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return usage(&format!("cannot start: {error}")),
    };
    let report = runtime.block_on(Doctor::new(setup, &args).examine());
    // A look-up of a name may hang in a thread for long.
    runtime.shutdown_background();
    let printed = if args.json {
        serde_json::to_string_pretty(&report).expect("a report has no maps with odd keys") + "\n"
    } else {
        text::render(&report, args.verbose)
    };
    stdout::print(printed.as_bytes(), ExitCode::from(report.verdict.status()))
}

fn usage(error: &str) -> ExitCode {
    writeln!(io::stderr(), "everwire: {error}").ok();
    ExitCode::from(USAGE)
}
