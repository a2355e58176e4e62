//! `everwire connect`: a WebSocket client for the command line.

mod args;
mod escape;
mod exchange;
mod input;
mod interrupts;
mod masked;
mod output;
mod progress;
mod reconnecting;
mod session;
mod single;
mod store;
mod verbose;
mod verdict;

use std::process::ExitCode;

pub(crate) use self::{args::Args, escape::escape, masked::masked, verbose::shown};
use self::{output::Output, verdict::Verdict};

/// Shows what the library warns of, such as a file that it cannot read.
fn warn_on_stderr() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .log_internal_errors(false);
    // Another one is as good.
    let _ = subscriber.try_init();
}

/// Runs the client to its end.
pub(crate) fn run(args: Args) -> ExitCode {
    let terminal = input::Terminal::save();
    warn_on_stderr();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let verdict = match runtime {
        Ok(runtime) => {
            let verdict = if args.has_session() {
                runtime.block_on(session::run(args))
            } else if args.reconnect {
                runtime.block_on(reconnecting::run(args))
            } else {
                runtime.block_on(single::run(args))
            };
            // A thread may hang in a read of stdin for ever.
            runtime.shutdown_background();
            verdict
        }
        Err(error) => Verdict::usage(format!("cannot start: {error}")),
    };
    // Whoever edits a line is cut off in the middle of it.
    terminal.restore();
    if let Some(line) = &verdict.line {
        Output::say(line);
    }
    ExitCode::from(verdict.status)
}
