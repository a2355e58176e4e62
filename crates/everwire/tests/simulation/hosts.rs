//! What runs on the simulated machines.

use std::{convert::Infallible, io, net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use everwire::{
    Client, Conn, Handler, Message,
    adapt::HttpUpgrade,
    dial::{Dialer, ProxyConfig},
    reconnect::ReconnectPolicy,
    session::{
        ClientEnd, ClientEvent, ClientSender, Code, Direction, GapRange, Principal, SessionClient,
        SessionConfig, SessionFile, SessionHandler, SessionMessage, SessionSendError,
        SessionSender, SessionStore, Sessions, Snapshot, SnapshotChange,
    },
};
use everwire_testkit::Rng;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    task::{JoinError, JoinHandle},
    time::sleep,
};
use turmoil::net::{TcpListener, TcpStream};

use crate::{book::Book, plan::Plan};

const PORT: u16 = 80;

/// What differs from seed to seed, but for the plan.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    /// What the server keeps of one session, in bytes.
    buffer: usize,
    /// How long it keeps one without a connection.
    ttl: Duration,
    /// Nobody stays on a connection for long, nor waits long for one.
    is_restless: bool,
    /// What else differs in the settings of both ends.
    change: fn(&mut SessionConfig),
}

#[allow(dead_code, reason = "each of the two programs with this file has use for one of these")]
impl Setting {
    pub(crate) fn of(seed: u64) -> Self {
        let ttl = Duration::from_secs(if seed % 5 == 3 { 4 } else { 600 });
        Self {
            seed,
            buffer: if seed % 3 == 2 { 4000 } else { 1 << 18 },
            ttl,
            is_restless: false,
            change: |_| {},
        }
    }

    /// Returns one in which attempts are given up and connections left all the time, while what was said on
    /// them is still under way.
    pub(crate) fn restless(seed: u64, change: fn(&mut SessionConfig)) -> Self {
        let ttl = Duration::from_secs(600);
        Self { seed, buffer: 1 << 18, ttl, is_restless: true, change }
    }

    pub(crate) fn plan(self, clients: usize) -> Plan {
        match self.is_restless {
            true => Plan::restless(self.seed, clients),
            false => Plan::of(self.seed, clients),
        }
    }

    fn server_config(self) -> SessionConfig {
        let mut config = SessionConfig::server();
        config.buffer.bytes = self.buffer;
        config.terms.ttl_limit = self.ttl;
        if self.is_restless {
            config.terms.attach_burst = 1_000_000;
            config.terms.first_spread = Duration::from_millis(20);
        }
        (self.change)(&mut config);
        config
    }

    fn client_config(self) -> SessionConfig {
        let mut config = SessionConfig::client();
        config.ttl = self.ttl;
        (self.change)(&mut config);
        config
    }

    fn policy(self) -> ReconnectPolicy {
        let mut policy = ReconnectPolicy::default();
        policy.cap = Duration::from_secs(4);
        if self.is_restless {
            policy.base = Duration::from_millis(50);
            policy.cap = Duration::from_millis(200);
            policy.attempt_min = Duration::from_millis(300);
            policy.attempt_max = Duration::from_millis(900);
        }
        policy
    }

    /// Returns whether sessions end because nobody came back in time.
    pub(crate) fn expires(self) -> bool {
        self.ttl < Duration::from_secs(600)
    }

    fn rng(self, salt: u64) -> Rng {
        Rng::new(self.seed ^ (salt << 32))
    }
}

/// The server, until it is killed.
pub(crate) async fn serve(book: Arc<Book>, setting: Setting) -> turmoil::Result {
    let sessions = Sessions::builder().config(setting.server_config()).push(move |session| {
        let client = client_of(session);
        Peer { book: book.clone(), client, serial: book.serial(), setting }
    });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (io, _) = listener.accept().await?;
        let sessions = sessions.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let response = answer(&mut request, &sessions);
            async { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        tokio::spawn(connection.with_upgrades());
    }
}

fn answer(request: &mut Request<Incoming>, sessions: &Sessions) -> Response<Full<Bytes>> {
    let client = request.headers()["x-client"].to_str().unwrap().to_owned();
    match HttpUpgrade::from_request(request) {
        Ok(upgrade) => upgrade.sessions(sessions).data(Principal::new(&client)).handler(Nobody),
        Err(reject) => reject.into_response(),
    }
}

fn client_of(session: &SessionSender) -> usize {
    let principal = session.principal();
    principal.name().unwrap().parse().unwrap()
}

/// Serves clients without sessions, of which there are none.
struct Nobody;

impl Handler for Nobody {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

/// The server's application, of one session.
struct Peer {
    book: Arc<Book>,
    client: usize,
    serial: u64,
    setting: Setting,
}

impl SessionHandler for Peer {
    fn on_session(&mut self, session: &SessionSender) {
        let rng = self.setting.rng(1000 + self.serial);
        tokio::spawn(talk(self.book.clone(), session.clone(), self.serial, rng));
        if self.setting.is_restless {
            tokio::spawn(send_away(self.book.clone(), session.clone()));
        }
    }

    fn on_message(&mut self, _: &SessionSender, message: SessionMessage) {
        self.book.server_heard(self.client, self.serial, number(&message, 0));
    }

    fn on_gap(&mut self, _: &SessionSender, direction: Direction, gap: GapRange) {
        if direction == Direction::In {
            self.book.fail(format!("client {} gave up {gap:?}", self.client));
        }
    }
}

/// Sends the server's messages; in a session, a message's text has its number.
async fn talk(book: Arc<Book>, session: SessionSender, serial: u64, mut rng: Rng) {
    let mut n = 1;
    loop {
        sleep(Duration::from_millis(10 + rng.below(500) as u64)).await;
        let is_last = book.is_stopped();
        for _ in 0..if is_last { 1 } else { 1 + rng.below(4) } {
            let end = if is_last { "end" } else { "" };
            let padding = "-".repeat(rng.below(300));
            match session.send_text(&format!("{serial} {n} {end} {padding}")) {
                Ok(()) if is_last => return,
                Ok(()) => n += 1,
                // It is sent again, until there is room.
                Err(SessionSendError::Full { .. }) => break,
                Err(_) => return,
            }
        }
    }
}

/// Has a client take another connection again and again, until all is said.
async fn send_away(book: Arc<Book>, session: SessionSender) {
    while !book.is_stopped() {
        sleep(Duration::from_millis(500)).await;
        session.go_away(Duration::ZERO, Duration::ZERO, "");
    }
}

/// A client, until it is killed; `book` knows what it did before.
pub(crate) async fn connect(
    book: Arc<Book>,
    client: usize,
    file: PathBuf,
    setting: Setting,
) -> turmoil::Result {
    let rng = setting.rng(book.serial() + 1);
    let dialer = Dialer::new()
        .with_proxy(ProxyConfig::Direct)
        .with_connector(|host, port| TcpStream::connect((host, port)));
    let connection = Client::new("ws://server/")?.dialer(dialer).header("x-client", client);
    let first = book.client_starts(client);
    let session = SessionClient::builder(connection)
        .policy(setting.policy())
        .config(setting.client_config())
        .store(Watched { file: SessionFile::open(file)?, book: book.clone(), client })
        .start()?;
    let (sender, mut receiver) = session.split();
    let speaking = speak(book.clone(), client, sender.clone(), first, rng);
    let mut speaking = Some(tokio::spawn(speaking));
    let mut closing = None;
    while let Some(event) = receiver.next().await {
        let is_last = matches!(&event, ClientEvent::Message(message) if word(message, 2) == "end");
        book.client_told(client, event);
        if is_last && let Some(speaking) = speaking.take() {
            closing = Some(tokio::spawn(close(sender.clone(), speaking)));
        }
    }
    match closing {
        Some(closing) => book.client_ends(client, &*closing.await??),
        None => book.fail(format!("client {client} ended early: {}", sender.ended().await)),
    }
    Ok(())
}

/// Says goodbye when all was said and has arrived.
async fn close(
    sender: ClientSender,
    speaking: JoinHandle<()>,
) -> Result<Arc<ClientEnd>, JoinError> {
    speaking.await?;
    // A goodbye on a path that turns out to be dead is given up after 5 s.
    while sender.buffered().1 > 0 {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(sender.close(Code::NORMAL, "all is said").await)
}

/// Sends the client's messages; they are numbered through all sessions.
async fn speak(book: Arc<Book>, client: usize, sender: ClientSender, first: u64, mut rng: Rng) {
    for n in first.. {
        let padding = "-".repeat(rng.below(300));
        if let Err(error) = sender.send(format!("{n} {padding}")).await {
            return book.fail(format!("client {client} could not send {n}: {error}"));
        }
        book.client_sent(client, n);
        if book.is_stopped() {
            return;
        }
        if rng.below(3) > 0 {
            sleep(Duration::from_millis(rng.below(500) as u64)).await;
        }
    }
}

/// A file, of which the application knows what is in it.
struct Watched {
    file: SessionFile,
    book: Arc<Book>,
    client: usize,
}

impl Watched {
    fn saved(&self, recv: u64, last: Option<&SessionMessage>) {
        let last = last.map(|message| number(message, 0));
        self.book.client_saved(self.client, recv, last);
    }
}

impl SessionStore for Watched {
    fn load(&self) -> io::Result<Option<Snapshot>> {
        self.file.load()
    }

    fn save(&self, session: &Snapshot) -> io::Result<()> {
        self.file.save(session)?;
        self.saved(session.recv, session.unacknowledged.last());
        Ok(())
    }

    fn save_change(&self, change: &SnapshotChange) -> io::Result<()> {
        self.file.save_change(change)?;
        self.saved(change.recv, change.new.last());
        Ok(())
    }

    fn forget(&self) -> io::Result<()> {
        self.file.forget()
    }
}

fn word(message: &SessionMessage, nth: usize) -> &str {
    message.as_text().and_then(|text| text.split(' ').nth(nth)).unwrap_or_default()
}

/// Returns a number that a message contains.
pub(crate) fn number(message: &SessionMessage, nth: usize) -> u64 {
    word(message, nth).parse().expect("messages are numbered")
}
