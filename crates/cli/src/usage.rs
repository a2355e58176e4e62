//! What is said about a command line that cannot be understood.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Prints the help that was asked for, or what is wrong with the command line in one line.
pub(crate) fn explain(error: &clap::Error, command: &Command) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.print().ok();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let mut line = one_line(&error.render().to_string());
    if let Some((arg, variable)) = from_environment(error, command) {
        line = line.replace(&format!("'{arg}'"), &variable);
    }
    writeln!(io::stderr(), "everwire: {line}").ok();
    ExitCode::from(2)
}

/// Returns the argument with a value that cannot be understood and its variable of the environment,
/// if the value came from there.
fn from_environment(error: &clap::Error, command: &Command) -> Option<(String, String)> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    let (name, value) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
    let subcommand = command.find_subcommand(env::args_os().nth(1)?)?;
    let is_wrong = |arg: &&Arg| arg.to_string() == *name;
    let variable = subcommand.get_arguments().find(is_wrong)?.get_env()?.to_str()?;
    let is_there = env::var(variable).is_ok_and(|set| set.split(',').any(|part| part == value));
    // What the command line says goes before the environment: `--threads x`, `--threads=x`, `-nx`.
    let is_said = env::args_os().skip(2).any(|arg| arg.to_string_lossy().ends_with(value.as_str()));
    (is_there && !is_said).then(|| (name.clone(), variable.to_owned()))
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
