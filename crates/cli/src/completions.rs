//! `everwire completions`: what a shell needs to complete our commands.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::stdout;

/// What `completions` was told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell.
    shell: Shell,
}

/// Prints the completions.
pub(crate) fn run(args: Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "everwire", &mut script);
    stdout::print(&script, ExitCode::SUCCESS)
}
