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
    /// The subcommand whose page to print.
    subcommand: Option<String>,
}

/// Prints a page in roff: `everwire man serve | man -l -`.
pub(crate) fn run(args: Args) -> ExitCode {
    let mut root = crate::Cli::command();
    root.build();
    let command = match &args.subcommand {
        None => root,
        Some(name) => match root.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                writeln!(io::stderr(), "everwire: there is no subcommand {name:?}").ok();
                return ExitCode::from(2);
            }
        },
    };
    let source = concat!("everwire ", env!("CARGO_PKG_VERSION"));
    let mut page = Vec::new();
    if let Err(error) = clap_mangen::Man::new(command).source(source).render(&mut page) {
        writeln!(io::stderr(), "everwire: cannot write the manual page: {error}").ok();
        return ExitCode::from(2);
    }
    stdout::print(&page, ExitCode::SUCCESS)
}
