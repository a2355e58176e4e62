//! A session that survives its connections: a counter goes on where it was, whatever is cut.
//!
//! ```text
//! cargo run -p everwire-examples --example session
//! ```

use everwire::{
    CloseCode, Conn, Handler, Message, Server,
    session::{
        ClientEvent, Code, SessionClient, SessionHandler, SessionMessage, SessionSender, Sessions,
    },
};

type Error = Box<dyn std::error::Error>;

/// Counts what one client says, however many connections that takes.
struct Counter(u32);

impl SessionHandler for Counter {
    fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
        self.0 += 1;
        let text = message.as_text().unwrap_or("…");
        session.send_text(&format!("{}: {text}", self.0)).ok();
    }

    fn on_detached(&mut self, session: &SessionSender) {
        session.send_text("you were away for a moment").ok(); // It is kept.
    }
}

/// Who does not speak everwire.v1 is served on the same path.
struct Ordinary;

impl Handler for Ordinary {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        conn.send(message).ok();
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let sessions = Sessions::builder().push(|_| Counter(0));
    let server = Server::builder().bind("127.0.0.1:0").push("/", |_| Ordinary).sessions(&sessions);
    let server = server.start().await?;

    let mut client = SessionClient::connect(&format!("ws://{}/", server.addrs()[0]))?;
    client.send("one").await?; // There is no connection yet.
    while let Some(event) = client.next().await {
        match event {
            ClientEvent::Message(message) => {
                let text = message.as_text().unwrap_or("…");
                println!("  {text}");
                match text {
                    "1: one" => cut(&server)?,
                    "2: two" => drop(client.close(Code::NORMAL, "all is said")),
                    _ => {}
                }
            }
            ClientEvent::Attached { .. } => println!("attached"),
            ClientEvent::Detached { .. } => {
                println!("detached");
                client.send("two").await?;
            }
            ClientEvent::Resumed { epoch } => println!("resumed, connection {epoch}"),
            // Never in silence: what is missing stands here, before the next message.
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

/// Takes every connection away; the code of a Close decides nothing about a session.
fn cut(server: &Server) -> Result<(), Error> {
    for connection in server.registry().list() {
        let code = CloseCode::SERVICE_RESTART;
        server.registry().close(connection.id, code, "retry=100;spread=150")?;
    }
    Ok(())
}
