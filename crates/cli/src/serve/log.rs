//! What is logged to stderr.

use std::{
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing::metadata::LevelFilter;
use tracing_subscriber::EnvFilter;

const EXPECTED: &str = "expected error, warn, info, debug, trace or off, or a filter of targets \
                        such as warn,everwire=debug";

/// A level, or a filter of targets that can be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogFilter(String);

impl FromStr for LogFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The filter takes any single word for the name of a target, and a target without a level
        // for one of which all is logged.
        let is_word = text.chars().all(char::is_alphanumeric);
        let has_all_levels = text.split(',').all(|part| !part.trim_end().ends_with('='));
        let is_known = !is_word || (!text.is_empty() && text.parse::<LevelFilter>().is_ok());
        match is_known && has_all_levels && EnvFilter::builder().parse(text).is_ok() {
            true => Ok(Self(text.to_owned())),
            false => Err(EXPECTED),
        }
    }
}

impl LogFilter {
    /// Logs what the filter lets through from now on.
    pub(super) fn to_stderr(&self) {
        let filter = EnvFilter::builder().parse(&self.0).expect("it was parsed before");
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            // A closed stderr is no reason to panic.
            .log_internal_errors(false)
            .init();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_targets_with_levels() {
        for text in ["warn", "INFO", "off", "everwire=debug", "warn,everwire::server=trace", "3"] {
            assert_eq!(text.parse(), Ok(LogFilter(text.into())));
        }
        for text in ["", "inof", "blah=", "info,blah= ", "blah=,info", "=info", "loud=very", "a[b"]
        {
            assert_eq!(text.parse::<LogFilter>(), Err(EXPECTED), "{text:?}");
        }
    }
}
