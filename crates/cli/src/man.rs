//! `everwire man`: the manual pages.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::CommandFactory;

use crate::stdout;

/// What `man` was told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subcommand whose page to print, such as `serve` or `bench echo`.
    subcommand: Vec<String>,
}

/// Prints a page in roff: `everwire man serve | man -l -`.
pub(crate) fn run(args: Args) -> ExitCode {
    let mut root = crate::Cli::command();
    root.build();
    let mut command = root;
    for name in &args.subcommand {
        let Some(found) = command.find_subcommand(name) else {
            writeln!(io::stderr(), "everwire: there is no subcommand {name:?}").ok();
            return ExitCode::from(2);
        };
        command = found.clone();
    }
    let source = concat!("everwire ", env!("CARGO_PKG_VERSION"));
    let mut page = Vec::new();
    if let Err(error) = clap_mangen::Man::new(command).source(source).render(&mut page) {
        writeln!(io::stderr(), "everwire: cannot write the manual page: {error}").ok();
        return ExitCode::from(2);
    }
    stdout::print(&page, ExitCode::SUCCESS)
}
