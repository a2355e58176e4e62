//! What `probe` can be told.

use std::time::Duration;

use clap::ArgAction;

use crate::{
    destination::Destination,
    flag::yes_or_no,
    number::whole,
    period::{Period, some_time},
    size::Size,
};

const AFTER_HELP: &str = "\
The report goes to stdout, one line for each check, and for each fault who is to blame, what was expected, what came
and what to do. Nothing a server sends reaches the terminal unescaped, and secrets in headers and in the query are
masked.

A few connections are opened, one after the other, and nine at the same time for --idle-timeout. Pings and text
messages of random letters are sent, of up to --max-message bytes. Whether the server echoes them is found out; it need
not. A server that passes messages on, such as a chat, passes these on as well: --max-message 0 sends none.

Exit status:
  0  all is well
  1  something is wrong
  2  wrong usage
  3  no connection: the server refused or could not be reached

Examples:
  everwire probe wss://example.com/live
  everwire probe --json -H 'Authorization: Bearer …' wss://example.com/live
  everwire probe --idle-timeout 10m wss://example.com/live";

/// The largest message that may be tried.
const LARGEST: u64 = 256 << 20;

/// The longest time that may be asked for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads the size of the largest message to try.
fn bound(text: &str) -> Result<Size, &'static str> {
    let size = if text == "0" { Some(Size(0)) } else { text.parse().ok() };
    let bounded = size.filter(|Size(bytes)| *bytes <= LARGEST);
    bounded.ok_or("expected 0, or a size of at most 256MiB such as 16MiB, 64KiB or 65536")
}

/// Reads a time to wait for.
fn at_most_a_day(text: &str) -> Result<Period, &'static str> {
    let some = some_time(text).ok().filter(|Period(time)| *time <= LONGEST);
    some.ok_or("expected a duration of more than 0s and at most 1day, such as 10s, 500ms or 2m")
}

/// What `probe` was told.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) destination: Destination,

    /// Time for each step, and for each answer.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_PROBE_TIMEOUT", default_value = "5s",
        value_parser = at_most_a_day)]
    pub(super) timeout: Period,

    /// How many Pings to measure with.
    #[arg(long, value_name = "N", env = "EVERWIRE_PROBE_PINGS", default_value_t = 10,
        value_parser = whole(1_u32..=1000))]
    pub(super) pings: u32,

    /// The largest message to try; at most 256MiB. 0 sends none.
    #[arg(long, value_name = "SIZE", env = "EVERWIRE_PROBE_MAX_MESSAGE", default_value = "1MiB",
        value_parser = bound)]
    pub(super) max_message: Size,

    /// Finds out how long a silent connection lives, up to this time. Takes that time.
    #[arg(long, value_name = "UP_TO", env = "EVERWIRE_PROBE_IDLE_TIMEOUT",
        value_parser = at_most_a_day)]
    pub(super) idle_timeout: Option<Period>,

    /// Prints the report as JSON.
    #[arg(long, env = "EVERWIRE_PROBE_JSON", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) json: bool,

    /// Shows the opening handshake, without secrets.
    #[arg(short, long, env = "EVERWIRE_VERBOSE", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) verbose: bool,
}
