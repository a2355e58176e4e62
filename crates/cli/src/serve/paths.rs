//! The WebSocket endpoints, each with sessions beside ordinary connections.

use everwire::{
    Group, ServerBuilder,
    session::{SessionConfig, Sessions, SessionsBuilder},
};

use super::{
    args::Args,
    chat::{self, Member},
    count::Count,
    echo::{Echo, SessionEcho},
};

/// What is served where.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) count: Count,
    chat: Group,
    /// The sessions of each path; none if there are to be none.
    pub(super) sessions: Vec<(&'static str, Sessions)>,
}

impl Default for Paths {
    fn default() -> Self {
        Self { count: Count::default(), chat: chat::group(), sessions: Vec::new() }
    }
}

impl Paths {
    /// Returns whether there is a WebSocket endpoint at this path.
    pub(super) fn has(path: &str) -> bool {
        matches!(path, "/echo" | "/chat" | "/count")
    }

    /// Adds the endpoints to a server.
    pub(super) fn add_to(&mut self, mut builder: ServerBuilder, args: &Args) -> ServerBuilder {
        builder = builder.push("/echo", |_| Echo);
        let sessions = args.sessions(SessionEcho::config());
        builder = self.offer("/echo", builder, sessions, |sessions| {
            sessions.push(|_| SessionEcho::default())
        });
        let chat = self.chat.clone();
        builder = builder.push("/chat", move |_| Member(chat.clone()));
        let (chat, sessions) = (self.chat.clone(), args.sessions(SessionConfig::server()));
        builder = self.offer("/chat", builder, sessions, |sessions| {
            sessions.push(move |_| Member(chat.clone()))
        });
        let count = self.count.clone();
        builder = builder.push("/count", move |_| count.listener());
        let (count, sessions) = (self.count.clone(), args.sessions(SessionEcho::config()));
        self.offer("/count", builder, sessions, |sessions| sessions.push(move |_| count.listener()))
    }

    /// Offers sessions on the path that was added last.
    fn offer(
        &mut self,
        path: &'static str,
        builder: ServerBuilder,
        sessions: Option<SessionsBuilder>,
        finish: impl FnOnce(SessionsBuilder) -> Sessions,
    ) -> ServerBuilder {
        let Some(sessions) = sessions.map(finish) else { return builder };
        let builder = builder.sessions(&sessions);
        self.sessions.push((path, sessions));
        builder
    }
}
