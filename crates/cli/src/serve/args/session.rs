//! Sessions: whether there are any, and what they may keep.

use anyhow::ensure;
use everwire::session::{SessionConfig, SessionsBuilder, StoreConfig};

use crate::{
    flag::yes_or_no,
    number::whole,
    period::{Period, millisecond_or_more},
    size::Size,
};

#[derive(Clone, Debug, clap::Args)]
#[command(
    next_help_heading = "Sessions (everwire.v1); each of /echo, /chat and /count has its own"
)]
pub(in crate::serve) struct SessionArgs {
    /// Offers no sessions: whoever asks for one gets an ordinary connection, and nobody has connections
    /// cut.
    #[arg(
        long,
        env = "EVERWIRE_NO_SESSIONS",
        value_parser = yes_or_no,
        conflicts_with_all = [
            "session_ttl", "session_ttl_limit", "session_buffer", "session_memory",
            "max_detached_sessions"
        ]
    )]
    pub(super) no_sessions: bool,

    /// How long a session without a connection is kept, if the client does not say [default: 60s, or
    /// the limit if that is less].
    #[arg(
        long,
        value_name = "DURATION",
        env = "EVERWIRE_SESSION_TTL",
        value_parser = millisecond_or_more
    )]
    session_ttl: Option<Period>,

    /// How long it is kept at most, whatever the client says.
    #[arg(
        long,
        value_name = "DURATION",
        env = "EVERWIRE_SESSION_TTL_LIMIT",
        default_value = "10m",
        value_parser = millisecond_or_more
    )]
    session_ttl_limit: Period,

    /// How much one session keeps of what its client has not acknowledged, and 4096 messages or, if
    /// that is more, one for each 64 bytes of it; without a connection the oldest messages give way,
    /// and the client is told [default: 256KiB].
    #[arg(long, value_name = "SIZE", env = "EVERWIRE_SESSION_BUFFER")]
    session_buffer: Option<Size>,

    /// How much all sessions of one path keep together; above it those without a connection give way.
    #[arg(long, value_name = "SIZE", env = "EVERWIRE_SESSION_MEMORY", default_value = "256MiB")]
    session_memory: Size,

    /// How many sessions of one path may be without a connection.
    #[arg(
        long,
        value_name = "N",
        env = "EVERWIRE_MAX_DETACHED_SESSIONS",
        default_value = "100000",
        value_parser = whole(1_usize..)
    )]
    max_detached_sessions: usize,
}

/// Messages of this size fill a buffer in bytes and in number alike.
const SMALL: usize = 64;

impl SessionArgs {
    /// Checks what single options cannot know.
    ///
    /// # Errors
    /// One would have no effect because of another.
    pub(in crate::serve) fn check(&self) -> anyhow::Result<()> {
        let limit = self.session_ttl_limit;
        if let Some(ttl) = self.session_ttl {
            ensure!(
                ttl.0 <= limit.0,
                "--session-ttl {ttl} exceeds --session-ttl-limit {limit}, the longest that a session is \
                 kept: raise the limit as well, or ask for less"
            );
        }
        let memory = self.session_memory.0;
        if let Some(Size(buffer)) = self.session_buffer {
            ensure!(
                buffer <= memory,
                "--session-buffer of {buffer} bytes exceeds --session-memory of {memory} bytes, the most \
                 that all sessions of a path keep together: raise that as well, or ask for less"
            );
        }
        Ok(())
    }

    /// Begins to describe the sessions of a path, where a message may be this large; `None` if there
    /// are to be none.
    pub(in crate::serve) fn builder(
        &self,
        max_message: u64,
        mut config: SessionConfig,
    ) -> Option<SessionsBuilder> {
        if self.no_sessions {
            return None;
        }
        let bytes = |Size(size)| usize::try_from(size).unwrap_or(usize::MAX);
        config.max_message = max_message;
        if let Some(size) = self.session_buffer {
            config.buffer.bytes = bytes(size);
            config.buffer.entries = config.buffer.entries.max(bytes(size) / SMALL);
        }
        if let Some(Period(ttl)) = self.session_ttl {
            config.terms.ttl = ttl;
        }
        config.terms.ttl_limit = self.session_ttl_limit.0;
        let mut store = StoreConfig::default();
        store.bytes = bytes(self.session_memory);
        store.detached = self.max_detached_sessions;
        Some(everwire::session::Sessions::builder().config(config).store(store))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: SessionArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let Line { args } = Line::parse_from([""]);
        let (config, store) = (SessionConfig::server(), StoreConfig::default());
        assert_eq!(args.session_ttl_limit.0, config.terms.ttl_limit);
        // As the help says.
        assert_eq!(config.terms.ttl, Duration::from_secs(60));
        assert_eq!((config.buffer.bytes, config.buffer.entries), (256 << 10, 4096));
        assert_eq!(config.buffer.bytes / SMALL, config.buffer.entries);
        assert_eq!(args.session_memory.0, store.bytes as u64);
        assert_eq!(args.max_detached_sessions, store.detached);
        assert!(args.builder(1 << 20, config).is_some());
    }

    #[test]
    fn there_are_none_if_so_told() {
        let Line { args } = Line::parse_from(["", "--no-sessions"]);
        assert!(args.builder(1 << 20, SessionConfig::server()).is_none());
    }
}
