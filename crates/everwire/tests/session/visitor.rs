//! A client of sessions, driven by hand over real sockets.
#![allow(unreachable_pub)]

use std::{sync::Arc, time::Instant};

use everwire::{Client, CloseCode, Closure, Message, Payload, WebSocket, dial::ProxyConfig};
use everwire_session::{ClientSession, Config, Event, Hello, Prepared, Transmit};

use crate::common::soon;

/// How a HELLO travels.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Inline,
    Header,
    Subprotocol,
}

/// A client and its newest socket.
pub struct Visitor {
    pub url: String,
    pub session: ClientSession,
    pub socket: Option<(u64, WebSocket)>,
}

impl Visitor {
    pub fn new(url: &str) -> Self {
        let session = ClientSession::new(Instant::now(), Arc::new(Config::client()));
        Self { url: url.to_owned(), session, socket: None }
    }

    /// Returns a client that takes messages of this size at most.
    pub fn taking(url: &str, max_message: u64) -> Self {
        let mut config = Config::client();
        config.max_message = max_message;
        let session = ClientSession::new(Instant::now(), Arc::new(config));
        Self { session, ..Self::new(url) }
    }

    /// Opens another socket and asks to be attached; returns the one before.
    pub async fn connect(&mut self, form: Form) -> Option<WebSocket> {
        let attempt = self.session.hello(Instant::now()).unwrap();
        let mut client = Client::new(&self.url).unwrap().proxy(ProxyConfig::Direct);
        client = match form {
            Form::Subprotocol => {
                let hello = format!("everwire-h.{}", Hello::base64(&attempt.hello));
                client.subprotocols(["everwire.v1".to_owned(), hello])
            }
            _ => client.subprotocols(["everwire.v1"]),
        };
        if let Form::Header = form {
            client = client.header("everwire-hello", Hello::base64(&attempt.hello));
        }
        let ws = client.connect().await.unwrap();
        assert_eq!(ws.subprotocol(), Some("everwire.v1"));
        if let Form::Inline = form {
            ws.send(Message::Binary(Payload::Shared(attempt.hello))).await.unwrap();
        }
        self.socket.replace((attempt.number, ws)).map(|(_, ws)| ws)
    }

    /// Does what there is to do until something happens.
    pub async fn event(&mut self) -> Event {
        soon(async {
            loop {
                self.transmit().await;
                if let Some(event) = self.session.poll_event(Instant::now()) {
                    self.transmit().await;
                    return event;
                }
                let (attempt, ws) = self.socket.as_mut().expect("there is a socket");
                let timeout = self.session.poll_timeout().map(tokio::time::Instant::from_std);
                let due = async {
                    match timeout {
                        Some(timeout) => tokio::time::sleep_until(timeout).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    message = ws.recv() => match message {
                        Some(message) => {
                            let frame = message.into_payload().into_bytes();
                            self.session.handle_message(Instant::now(), *attempt, &frame);
                        }
                        None => {
                            let code = ws.closed().await.received.as_ref().map(|it| it.code);
                            self.session.handle_closed(*attempt, code.map(u16::from));
                            self.socket = None;
                        }
                    },
                    () = due => self.session.handle_timeout(Instant::now()),
                }
            }
        })
        .await
    }

    pub async fn transmit(&mut self) {
        let Some((attempt, ws)) = &self.socket else { return };
        while let Some(transmit) = self.session.poll_transmit(Instant::now(), *attempt) {
            match transmit {
                Transmit::Frame(frame) => {
                    ws.send(Message::Binary(Payload::Shared(frame))).await.ok();
                }
                Transmit::Close(code) => {
                    let code = CloseCode::new(code.number()).unwrap();
                    drop(ws.close(code, "").unwrap());
                    break;
                }
            }
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.session.send(Instant::now(), Prepared::text(text)).unwrap();
        self.transmit().await;
    }

    /// Returns the next event as words.
    pub async fn hear(&mut self) -> String {
        match self.event().await {
            Event::Opened { .. } => "opened".into(),
            Event::Resumed { .. } => "resumed".into(),
            Event::Detached => "detached".into(),
            Event::Message(message) => message.as_text().unwrap_or("binary").to_owned(),
            Event::Gap(direction, gap) => format!("gap {direction:?} {}-{}", gap.from, gap.to),
            Event::Ended(end) => format!("ended {} by {:?}", end.code, end.by),
            other => format!("{other:?}"),
        }
    }

    /// Cuts the connection without a word.
    pub fn cut(&mut self) {
        if let Some((attempt, ws)) = self.socket.take() {
            ws.abort();
            self.session.handle_closed(attempt, None);
            while self.session.poll_event(Instant::now()).is_some() {}
        }
    }
}

/// Returns the code with which a connection was closed.
pub async fn close_code(ws: WebSocket) -> Option<u16> {
    let closure: Arc<Closure> = soon(ws.closed()).await;
    closure.received.as_ref().map(|frame| frame.code).map(u16::from)
}
