//! How it ends.

use everwire::{CloseCode, Drain};

use crate::{number::whole, period::Period};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Shutdown")]
pub(in crate::serve) struct ShutdownArgs {
    /// The close code on SIGTERM: 1012 asks clients to come back, 1001 says goodbye. On SIGINT it
    /// is always 1001.
    #[arg(
        long,
        value_name = "CODE",
        env = "EVERWIRE_NOTICE",
        default_value = "1012",
        value_parser = parse_notice
    )]
    pub(in crate::serve) notice: CloseCode,

    /// How many connections a shutdown closes a second, 0 for all at once; it is raised if the
    /// deadline demands it.
    #[arg(
        long,
        value_name = "N",
        env = "EVERWIRE_DRAIN_RATE",
        default_value = "5000",
        value_parser = whole(0_u32..=u32::MAX)
    )]
    drain_rate: u32,

    /// Advises clients to come back within this time, each at a moment of its own.
    #[arg(long, value_name = "DURATION", env = "EVERWIRE_DRAIN_SPREAD")]
    drain_spread: Option<Period>,

    /// How long a shutdown may take; then whoever has not answered the Close is cut.
    #[arg(long, value_name = "DURATION", env = "EVERWIRE_DRAIN_DEADLINE", default_value = "10s")]
    pub(in crate::serve) drain_deadline: Period,
}

fn parse_notice(text: &str) -> Result<CloseCode, &'static str> {
    match text {
        "1001" => Ok(CloseCode::GOING_AWAY),
        "1012" => Ok(CloseCode::SERVICE_RESTART),
        _ => Err("expected 1012 or 1001"),
    }
}

impl ShutdownArgs {
    /// Returns how to shut down with this close code.
    pub(in crate::serve) fn drain(&self, notice: CloseCode) -> Drain {
        let drain = Drain::new(notice).rate(self.drain_rate).deadline(self.drain_deadline.0);
        match self.drain_spread {
            Some(Period(spread)) => drain.spread(spread),
            None => drain,
        }
    }
}
