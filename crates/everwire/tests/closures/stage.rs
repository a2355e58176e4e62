//! What a row needs: a registry with a watcher, a handler that takes notes, and a peer.

use std::sync::{Arc, Mutex};

use everwire::{
    Config, Conn, Handler, Message, Registry, Sender, Watched, Watcher, WebSocket, adapt::Attach,
};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};

use crate::common::{Notes, Raw};

/// What a row ends with: the connection, if there was one, and what the other end saw.
pub(crate) struct End {
    pub(crate) sender: Option<Sender>,
    pub(crate) saw: String,
}

#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) id: String,
    pub(crate) registry: Registry,
    watcher: Arc<Mutex<Watcher>>,
    pub(crate) notes: Notes,
    /// The connection is the pull face's, and no handler takes notes.
    pub(crate) is_pull: Arc<Mutex<bool>>,
}

impl Stage {
    pub(crate) fn new(id: &str) -> Self {
        Self::of(id, Registry::default())
    }

    fn of(id: &str, registry: Registry) -> Self {
        let watcher = Arc::new(Mutex::new(registry.watch(100)));
        Self { id: id.into(), registry, watcher, notes: Notes::default(), is_pull: Arc::default() }
    }

    /// Watches this registry instead, such as a server's.
    pub(crate) fn watch(&self, registry: &Registry) {
        *self.watcher.lock().unwrap() = registry.watch(100);
    }

    pub(crate) fn handler(&self) -> Noting {
        Noting { notes: self.notes.clone() }
    }

    /// A server's connection with a handler, and the peer of it.
    pub(crate) fn server(&self, config: Config) -> (Raw<DuplexStream>, Sender) {
        let (near, far) = duplex(64 << 10);
        let attach = Attach::server().registry(&self.registry).config(config);
        (Raw(near), attach.push(far, self.handler()))
    }

    /// A client's connection with a handler, and the peer of it.
    pub(crate) fn client(&self) -> (Raw<DuplexStream>, Sender) {
        let (near, far) = duplex(64 << 10);
        let attach = Attach::client().registry(&self.registry);
        (Raw(near), attach.push(far, self.handler()))
    }

    /// A server's connection with a pull face, and the peer of it.
    pub(crate) fn pull(&self) -> (Raw<DuplexStream>, WebSocket) {
        *self.is_pull.lock().unwrap() = true;
        let (near, far) = duplex(64 << 10);
        (Raw(near), Attach::server().registry(&self.registry).pull(far))
    }

    /// Checks that everybody was told the same, once; returns the cells of the row.
    pub(crate) fn check(&self, end: &End, log: &[String]) -> [String; 3] {
        let id = &self.id;
        let mut watcher = self.watcher.lock().unwrap();
        let told = std::iter::from_fn(|| match watcher.recv().now_or_never()? {
            Watched::Ended(ended) => Some(ended),
            other => panic!("{id}: {other:?}"),
        });
        let told: Vec<_> = told.collect();
        let Some(sender) = &end.sender else {
            assert_eq!((told.len(), log.len()), (0, 0), "{id}: there was no connection");
            return ["-".into(), "no".into(), end.saw.clone()];
        };
        let closure = sender.closure().unwrap_or_else(|| panic!("{id}: no closure"));
        assert_eq!(told.len(), 1, "{id}: the watcher is told once");
        assert_eq!((told[0].id, &told[0].closure), (sender.id(), &closure), "{id}: the watcher");
        assert_eq!(log, [closure.to_string()], "{id}: the log");
        let totals = watcher.registry().totals();
        let label = closure.cause.label();
        assert_eq!(totals.closed, [(label, 1)].into(), "{id}: the metrics");
        assert_eq!(
            (totals.opened, totals.open, totals.clean),
            (1, 0, u64::from(closure.is_clean())),
            "{id}: the metrics"
        );
        if !*self.is_pull.lock().unwrap() && label != "handler_panicked" {
            let notes = self.notes.all();
            let ends = notes.iter().filter(|note| note.starts_with("closed ")).count();
            assert_eq!(ends, 1, "{id}: the handler is told once: {notes:?}");
            assert_eq!(notes.last(), Some(&format!("closed {closure}")), "{id}: and last");
        }
        let is_clean = if closure.is_clean() { "yes" } else { "no" };
        [label.into(), is_clean.into(), end.saw.clone()]
    }
}

/// Echoes and takes notes; panics when it is asked to.
pub(crate) struct Noting {
    notes: Notes,
}

impl Handler for Noting {
    fn on_open(&mut self, _: &mut Conn<'_>) {
        self.notes.add("open");
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        self.notes.add("message");
        assert!(message.as_text() != Some("panic"), "as told");
        conn.send(message).ok();
    }

    fn on_close(&mut self, closure: &everwire::Closure) {
        self.notes.add(format!("closed {closure}"));
        assert!(!self.notes.all().contains(&"panic on close".into()), "as told");
    }
}

/// What a peer sees, until it sees no more.
#[derive(Default)]
pub(crate) struct Saw(Vec<String>);

impl Saw {
    /// Reads up to a Close.
    pub(crate) async fn until_close<S>(&mut self, peer: &mut Raw<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some((first, payload)) = peer.read().await {
            if self.see(first, &payload) {
                return;
            }
        }
        panic!("the end came before a Close: {:?}", self.0);
    }

    /// Reads to the end.
    pub(crate) async fn until_end<S>(mut self, peer: &mut Raw<S>) -> String
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let error = loop {
            match peer.try_read().await {
                Ok((first, payload)) => self.see(first, &payload),
                Err(error) => break error,
            };
        };
        let is_end = error.kind() == std::io::ErrorKind::UnexpectedEof;
        self.0.push(if is_end { "end" } else { "reset" }.into());
        self.0.join(", ")
    }

    fn see(&mut self, first: u8, payload: &[u8]) -> bool {
        match first {
            0x81 => self.0.push("text".into()),
            0x82 => self.0.push("binary".into()),
            0x88 => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.0.push(format!("Close {code}"));
            }
            _ => {}
        }
        first == 0x88
    }
}
