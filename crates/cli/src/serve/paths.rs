//! The WebSocket endpoints, each with sessions beside ordinary connections.

use everwire::{
    ServerBuilder,
    session::{SessionConfig, SessionSender, Sessions, SessionsBuilder},
};

use super::{
    args::Args,
    audience::Audience,
    chat::{Member, SessionMember},
    count::{Listener, SessionListener},
    echo::{Echo, SessionEcho},
};

/// What is served where.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Who hears the numbers of `/count`.
    pub(super) count: Audience,
    chat: Audience,
    /// The sessions of each path; none if there are to be none.
    pub(super) sessions: Vec<(&'static str, Sessions)>,
}

impl Paths {
    /// Returns whether there is a WebSocket endpoint at this path.
    pub(super) fn has(path: &str) -> bool {
        matches!(path, "/echo" | "/chat" | "/count")
    }

    /// Adds the endpoints to a server.
    pub(super) fn add_to(&mut self, builder: ServerBuilder, args: &Args) -> ServerBuilder {
        let sessions = |config| args.sessions(config);
        let builder = builder.push("/echo", |_| Echo);
        let builder = self.offer("/echo", builder, sessions(SessionEcho::config()), |sessions| {
            sessions.push(|_| SessionEcho::default())
        });
        let chat = self.chat.clone();
        let builder = builder.push("/chat", move |_| Member(chat.clone()));
        let chat = self.chat.clone();
        let builder = self.offer("/chat", builder, sessions(SessionConfig::server()), |sessions| {
            let audience = chat.clone();
            let sessions = sessions.push(move |session| SessionMember::new(session, &audience));
            chat.set_sessions(&sessions);
            sessions
        });
        let count = self.count.clone();
        let builder = builder.push("/count", move |_| Listener(count.clone()));
        let count = self.count.clone();
        self.offer("/count", builder, sessions(SessionEcho::config()), |sessions| {
            let audience = count.clone();
            let sessions = sessions
                .push(move |session: &SessionSender| SessionListener::new(session, &audience));
            count.set_sessions(&sessions);
            sessions
        })
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
