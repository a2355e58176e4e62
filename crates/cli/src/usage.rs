//! What is said about a command line that cannot be understood.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::error::ErrorKind;

/// Prints the help that was asked for, or what is wrong with the command line in one line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.print().ok();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    writeln!(io::stderr(), "everwire: {}", one_line(&error.render().to_string())).ok();
    ExitCode::from(2)
}

/// Folds a message of clap into a line: what is wrong, what could help, where to read more.
fn one_line(message: &str) -> String {
    let is_usage = |paragraph: &&str| !paragraph.starts_with("Usage:");
    let parts: Vec<String> = message
        .split("\n\n")
        .take_while(is_usage)
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .map(|part| part.trim_start_matches("error: ").trim_start_matches("tip: ").to_owned())
        .filter(|part| !part.is_empty() && !part.starts_with("For more information"))
        .collect();
    format!("{} (try --help)", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clap_says_becomes_one_line() {
        let message = "error: unexpected argument '--lisen' found\n\n  tip: a similar argument \
                       exists: '--listen'\n\nUsage: everwire serve\n\nFor more information, …\n";
        assert_eq!(
            one_line(message),
            "unexpected argument '--lisen' found; a similar argument exists: '--listen' (try --help)"
        );
        let message = "error: invalid value 'x' for '--a': expected 1\n\nFor more information, …\n";
        assert_eq!(one_line(message), "invalid value 'x' for '--a': expected 1 (try --help)");
    }
}
