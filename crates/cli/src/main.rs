//! The `everwire` binary: `serve` runs a server, `connect` talks to one, `probe` examines one,
//! `bench` measures one.

mod bench;
mod completions;
mod connect;
mod deflate;
mod descriptors;
mod destination;
mod flag;
mod man;
mod number;
mod period;
mod probe;
mod progress;
mod serve;
mod size;
mod stdout;
mod token;
mod usage;

use std::{env, process::ExitCode};

use clap::{
    Arg, ArgAction, Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::Resettable,
};

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
    /// Examines a server and the way to it, and says what is wrong with them.
    Probe(Box<probe::Args>),
    /// Loads a server and measures it: latencies, losses, what it costs the server.
    Bench(Box<bench::Args>),
    /// Prints the completions of a shell.
    Completions(completions::Args),
    /// Prints the manual page, or that of a subcommand.
    Man(man::Args),
}

fn main() -> ExitCode {
    let mut command = Cli::command().mut_subcommands(without_idle_variables);
    let cli = match parse(&mut command) {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error, &command),
    };
    match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Connect(args) => connect::run(*args),
        Command::Probe(args) => probe::run(*args),
        Command::Bench(args) => bench::run(*args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// Reads the command line and the environment.
fn parse(command: &mut ClapCommand) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(command))
}

/// Lets empty variables count as unset, as files of settings and containers mean them, and so those
/// that switch a flag off, which would contradict options that it excludes.
fn without_idle_variables(command: ClapCommand) -> ClapCommand {
    let command = command.mut_subcommands(without_idle_variables);
    let is_idle = |arg: &Arg| {
        let value = arg.get_env().and_then(env::var_os);
        let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
        value.is_some_and(|value| {
            value.is_empty() || is_flag && value.to_str().map(flag::yes_or_no) == Some(Ok(false))
        })
    };
    command.mut_args(|arg| if is_idle(&arg) { arg.env(Resettable::Reset) } else { arg })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
