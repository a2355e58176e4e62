//! The `everwire` binary: `serve` runs a server, `connect` talks to one.

mod completions;
mod connect;
mod man;
mod period;
mod serve;
mod size;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// WebSocket connections that stay alive and end with one honest explanation.
#[derive(Debug, Parser)]
#[command(name = "everwire", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server with an echo, a chat and a page to try them.
    Serve(Box<serve::Args>),
    /// Connects to a server: lines from stdin become messages, messages are printed.
    Connect(Box<connect::Args>),
    /// Prints the completions of a shell.
    Completions(completions::Args),
    /// Prints the manual page, or that of a subcommand.
    Man(man::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error),
    };
    match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Connect(args) => connect::run(*args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
