//! Sessions on connections that somebody else's HTTP stack opened.
#![cfg(feature = "axum")]

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, extract::State, response::Response, routing::get};
use everwire::{
    Client, Config, Conn, Handler, Message,
    adapt::HttpUpgrade,
    axum::WebSocketUpgrade,
    dial::ProxyConfig,
    session::{Principal, Sessions},
};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{
    Echo, Form, Visitor,
    common::{Notes, connect, soon, text, until},
};

/// Serves clients that know no sessions.
struct Shout;

impl Handler for Shout {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        let text = message.as_text().unwrap_or_default().to_uppercase();
        conn.send(text).ok();
    }
}

fn sessions() -> (Sessions, Notes) {
    let notes = Notes::default();
    let log = notes.clone();
    (Sessions::builder().push(move |_| Echo(log.clone())), notes)
}

fn config() -> Config {
    let mut config = Config::default();
    config.limits.message = 1000;
    config
}

async fn route(State(sessions): State<Sessions>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade.subprotocols(["chat"]).config(config()).data(Principal::new("alice"));
    upgrade.sessions(&sessions).handler(Shout)
}

async fn axum(sessions: &Sessions) -> SocketAddr {
    let router = Router::new().route("/", get(route)).with_state(sessions.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

async fn hyper(sessions: &Sessions) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sessions = sessions.clone();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let sessions = sessions.clone();
            let service =
                hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
                    let upgrade = HttpUpgrade::from_request(&mut request);
                    let upgrade =
                        upgrade.map(|upgrade| upgrade.sessions(&sessions).config(config()));
                    let response: hyper::Response<Full<Bytes>> = match upgrade {
                        Ok(upgrade) => upgrade.data(Principal::new("alice")).handler(Shout),
                        Err(reject) => reject.into_response(),
                    };
                    async { Ok::<_, Infallible>(response) }
                });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(io), service).with_upgrades());
        }
    });
    addr
}

/// A session begins in every form, and survives its connection; others are served beside it.
async fn check(addr: SocketAddr, sessions: &Sessions) {
    let url = format!("ws://{addr}/");
    for form in [Form::Inline, Form::Header, Form::Subprotocol] {
        let mut visitor = Visitor::new(&url);
        visitor.connect(form).await;
        assert_eq!(visitor.hear().await, "opened", "{form:?}");
        // Larger than other clients may send.
        visitor.say(&"x".repeat(100_000)).await;
        assert_eq!(visitor.hear().await.len(), 100_000);
        visitor.cut();
        until(|| sessions.stats().detached == 1).await;
        let session = sessions.all().into_iter().find(|session| !session.is_attached()).unwrap();
        assert_eq!(session.principal(), Principal::new("alice"));
        session.send_text("while you were out").unwrap();
        visitor.connect(form).await;
        assert_eq!(visitor.hear().await, "resumed");
        assert_eq!(visitor.hear().await, "while you were out");
        session.end(everwire::session::Code::ENDED, "next");
        assert!(visitor.hear().await.starts_with("ended 4503"));
    }
    let mut peer = connect(addr, "/").await;
    peer.write(&text("plain")).await;
    assert_eq!(peer.read().await.unwrap().1, b"PLAIN");
}

#[tokio::test]
async fn an_axum_route_offers_sessions_beside_ordinary_clients() {
    let (sessions, _) = sessions();
    let addr = axum(&sessions).await;
    check(addr, &sessions).await;
    let client = Client::new(&format!("ws://{addr}/")).unwrap().proxy(ProxyConfig::Direct);
    let other = soon(client.subprotocols(["chat"]).connect()).await.unwrap();
    assert_eq!(other.subprotocol(), Some("chat"));
}

#[tokio::test]
async fn a_hyper_service_offers_sessions_beside_ordinary_clients() {
    let (sessions, _) = sessions();
    check(hyper(&sessions).await, &sessions).await;
}
