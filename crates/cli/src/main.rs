//! The `everwire` binary: `serve` runs a server, `connect` talks to one.

mod connect;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// WebSocket connections that stay alive, end with one honest explanation, and come back.
#[derive(Debug, Parser)]
#[command(name = "everwire", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server with an echo, a chat and a page to try them.
    Serve(serve::Args),
    /// Connects to a server: lines from stdin become messages, messages are printed.
    Connect(connect::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Connect(args) => connect::run(args),
    }
}
