//! `everwire completions`: what a shell needs to complete our commands.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::CommandFactory;
use clap_complete::Shell;

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
    // Whoever closes the pipe has read enough.
    io::stdout().write_all(&script).ok();
    ExitCode::SUCCESS
}
