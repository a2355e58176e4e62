//! A chat between browser tabs that survives its connections: the server, the page and the client.
//!
//! ```text
//! cargo run -p everwire-examples --example resumable_chat [ADDR:PORT]
//! ```
//!
//! Then open the page twice. `docs/sessions.md` tells how to do this in a project of your own.

use std::error::Error;

use axum::{Router, http::header::CONTENT_TYPE, response::Html, routing::get};
use everwire::{
    CloseCode, CloseFrame, Conn, Group, Handler, Message, PreparedMessage, Server, SlowPolicy,
    session::{SessionHandler, SessionMessage, SessionSender, Sessions},
};

const PAGE: &str = include_str!("resumable_chat.html");
const CLIENT: &str = include_str!("../../clients/js/dist/everwire.js");

/// Somebody in the chat, however many connections that takes.
struct Member(Group);

impl SessionHandler for Member {
    fn on_session(&mut self, session: &SessionSender) {
        self.0.join_session(session); // It leaves by itself when the session ends.
    }

    fn on_message(&mut self, _: &SessionSender, message: SessionMessage) {
        // Who is away finds it on coming back.
        self.0.broadcast(&PreparedMessage::new(message.as_text().unwrap_or("(no text)")));
    }
}

/// Who does not speak everwire.v1 is served on the same path.
impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.join(&conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.0.broadcast(&PreparedMessage::new(message));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let room = Group::new(SlowPolicy::Disconnect(CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "")?));
    let (members, others) = (room.clone(), room);
    let sessions = Sessions::builder().push(move |_| Member(members.clone()));
    let pages = Router::new()
        .route("/", get(Html(PAGE)))
        .route("/everwire.js", get(([(CONTENT_TYPE, "text/javascript")], CLIENT)));
    let server = Server::builder().bind(addr).http(pages);
    let server = server.push("/chat", move |_| Member(others.clone())).sessions(&sessions);
    let server = server.start().await?;
    println!("open http://{}/ twice", server.addrs()[0]);
    std::future::pending().await
}
