//! `everwire connect`: a WebSocket client for the command line.

use std::process::ExitCode;

/// What `connect` was told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to connect to, such as `ws://127.0.0.1:8080/echo`.
    url: String,
}

/// Runs the client to its end.
pub(crate) fn run(args: Args) -> ExitCode {
    eprintln!("cannot connect to {} yet", args.url);
    ExitCode::from(3)
}
