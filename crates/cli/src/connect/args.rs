//! What `connect` can be told, and the client that is made of it.

use std::{env, fs, path::PathBuf, str::FromStr, time::Duration};

use clap::ArgAction;
use everwire::{
    Client, ClientObserver, CloseCode, CloseFrame, Config, DeflateConfig, Keepalive,
    reconnect::{AdaptiveKeepalive, JsonFile, MemoryStore},
};

use crate::{
    deflate::DeflateArg,
    destination::{Destination, Header},
    flag::yes_or_no,
    number::whole,
    period::{KeepaliveArg, KeepaliveError, Period, some_time},
    size::Size,
};

const AFTER_HELP: &str = "\
Messages go to stdout, one a line and nothing else; all the rest goes to stderr. On a terminal, control characters of a
message are escaped and binary messages are shown as a hex dump. In a pipe, a message is written as it is, with a
newline behind it (with --bin: without).

Each line of stdin is sent as a text message. At the end of stdin the connection is closed, and what comes until the
server answers is printed (--close-timeout); with -n it stays open until so many messages came. With --bin, all of stdin is one binary message, or each
line when it is typed.

Exit status:
  0  the connection ended with a closing handshake (with 1000, 1001 or no code, if the server closed)
  1  stdout could not be written
  2  wrong usage
  3  no connection: the server refused or could not be reached
  4  the connection ended in another way, or before -n messages came; with --session also when messages were
     lost or may be, or when it was left to the next run and could not be stored
  6  --timeout passed
  130, 143  interrupted by SIGINT (Ctrl-C), by SIGTERM: at the second, or at one before -n messages came, while there
     was no connection, or where no session was ever attached and there is no --session-store. One alone is
     otherwise a proper end, with the status of that

Examples:
  everwire connect wss://example.com/live
  echo hi | everwire connect -n1 ws://127.0.0.1:8080/echo
  everwire connect --session ws://127.0.0.1:8080/chat
  everwire connect -v -H 'Authorization: Bearer …' --subprotocol chat.v2 wss://example.com/chat";

/// What `connect` was told.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    destination: Destination,

    /// Sends binary messages, and writes messages into a pipe without a newline behind them.
    #[arg(long, env = "EVERWIRE_BIN", value_parser = yes_or_no)]
    pub(super) bin: bool,

    /// Pings the server at an interval (5s) and prints the round-trip times.
    #[arg(
        long,
        value_name = "INTERVAL",
        env = "EVERWIRE_PING",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5s",
        value_parser = some_time
    )]
    pub(super) ping: Option<Period>,

    /// Closes with this code and reason instead of 1000.
    #[arg(long, num_args = 2, value_names = ["CODE", "REASON"])]
    close: Vec<String>,

    /// Closes after so many received messages.
    #[arg(short = 'n', long = "count", value_name = "N", env = "EVERWIRE_COUNT",
        value_parser = whole(1_u64..))]
    pub(super) count: Option<u64>,

    /// Shows the opening handshake, without secrets, and every frame.
    #[arg(short, long, env = "EVERWIRE_VERBOSE", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) verbose: bool,

    /// Connects again when the connection ends, unless that makes no sense; says so on stderr.
    /// Lines of stdin wait for a connection; its end, once they were sent, ends it also while there
    /// is none. A line that a dying connection took may be lost.
    #[arg(
        long,
        env = "EVERWIRE_RECONNECT",
        value_parser = yes_or_no,
        action = ArgAction::SetTrue
    )]
    pub(super) reconnect: bool,

    /// Keeps a session (everwire.v1) over its connections: nothing is lost, doubled or reordered when
    /// one breaks, in either direction; what cannot be kept is told on stderr, and so is each
    /// connection that is lost. The end of stdin ends the session.
    #[arg(
        long,
        env = "EVERWIRE_SESSION",
        value_parser = yes_or_no,
        action = ArgAction::SetTrue,
        conflicts_with_all = ["reconnect", "ping"]
    )]
    pub(super) session: bool,

    /// Keeps the session in a file, which the next run goes on with if it comes in time: after an
    /// interrupt (Ctrl-C), or when this one is killed. It then says how many lines of stdin were
    /// stored: those behind them are to be said again. Implies --session.
    #[arg(
        long,
        value_name = "FILE",
        env = "EVERWIRE_SESSION_STORE",
        conflicts_with_all = ["reconnect", "ping"]
    )]
    pub(super) session_store: Option<PathBuf>,

    /// Follows up to so many redirects.
    #[arg(long, value_name = "N", env = "EVERWIRE_REDIRECTS", default_value_t = 0,
        value_parser = whole(0_usize..=100))]
    redirects: usize,

    /// Time until the connection is open.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_CONNECT_TIMEOUT", default_value = "10s",
        value_parser = some_time)]
    connect_timeout: Period,

    /// Time that the server has to answer a Close; what it still sends until then is printed.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_CLOSE_TIMEOUT", default_value = "10s",
        value_parser = some_time)]
    close_timeout: Period,

    /// Gives up after this time, all in all; what is connected then is closed (--close-timeout).
    #[arg(long, value_name = "TIME", env = "EVERWIRE_TIMEOUT", value_parser = some_time)]
    timeout: Option<Period>,

    /// After how much silence the server is pinged and how long it then has to show life; fast
    /// notices a dead server within 5s, standard is 25s/20s. With --reconnect, adaptive finds the
    /// longest silence that the path tolerates and remembers it in
    /// $XDG_STATE_HOME/everwire/keepalive.json.
    #[arg(
        long,
        value_name = "INTERVAL/TIMEOUT|fast|standard|off|adaptive",
        env = "EVERWIRE_KEEPALIVE",
        default_value = "25s/20s"
    )]
    keepalive: ConnectKeepalive,

    /// Offers to compress messages (permessage-deflate): each by itself (shared), or with what went
    /// before it (dedicated).
    #[arg(
        long,
        value_name = "shared|dedicated|off",
        env = "EVERWIRE_CONNECT_DEFLATE",
        num_args = 0..=1,
        require_equals = true,
        default_value = "off",
        default_missing_value = "dedicated"
    )]
    deflate: DeflateArg,

    /// The largest message that is accepted or sent.
    #[arg(long, value_name = "SIZE", env = "EVERWIRE_MAX_MESSAGE", default_value = "16MiB")]
    max_message: Size,
}

impl Args {
    /// Makes the client.
    ///
    /// # Errors
    /// What is wrong with the arguments, for people.
    pub(super) fn client(&self, observer: Option<impl ClientObserver>) -> Result<Client, String> {
        let mut config = Config::default();
        config.keepalive = self.keepalive()?;
        config.close_timeout = Some(self.close_timeout.0);
        // Whoever reads our output may take their time, and wants all of it.
        config.close_patience = Duration::from_secs(86_400);
        config.limits.message = self.max_message.0;
        config.deflate = self.deflate.config(DeflateConfig::default().threshold as u64);
        let mut client = Client::new(&self.destination.url)
            .map_err(|error| error.to_string())?
            .config(config)
            .subprotocols(&self.destination.subprotocols)
            .redirects(self.redirects)
            .connect_timeout(self.connect_timeout.0);
        for Header(name, value) in &self.destination.headers {
            client = client.header(name.clone(), value.clone());
        }
        if let Some(origin) = &self.destination.origin {
            client = client.origin(origin.clone());
        }
        if let Some(proxy) = self.destination.proxy() {
            client = client.proxy(proxy);
        }
        if let Some(tls) = self.destination.tls()? {
            client = client.tls(tls);
        }
        if let Some(observer) = observer {
            client = client.observer(observer);
        }
        Ok(client)
    }

    /// Returns the Close frame to send.
    ///
    /// # Errors
    /// It must not be sent.
    pub(super) fn close_frame(&self) -> Result<CloseFrame, String> {
        let [code, reason] = self.close.as_slice() else {
            return CloseFrame::new(CloseCode::NORMAL_CLOSURE, "").map_err(|e| e.to_string());
        };
        let sendable = code.parse().ok().and_then(CloseCode::new).filter(|c| c.is_sendable());
        let code = sendable.ok_or_else(|| {
            format!(
                "invalid value '{code}' for '--close': expected 1000 to 1003, 1007 to 1014, or 3000 \
                 to 4999; no other code can be sent"
            )
        })?;
        CloseFrame::new(code, reason).map_err(|error| format!("invalid '--close': {error}"))
    }

    fn keepalive(&self) -> Result<Option<Keepalive>, String> {
        match self.keepalive {
            ConnectKeepalive::Fixed(KeepaliveArg(keepalive)) => Ok(keepalive),
            ConnectKeepalive::Adaptive if self.reconnect => Ok(Some(Keepalive::standard())),
            ConnectKeepalive::Adaptive => {
                Err("'--keepalive adaptive' costs connections: expected '--reconnect' with it"
                    .into())
            }
        }
    }

    /// Returns the keepalive that is found by trying.
    pub(super) fn adaptive(&self) -> Option<AdaptiveKeepalive> {
        if self.keepalive != ConnectKeepalive::Adaptive {
            return None;
        }
        Some(match state_folder() {
            Some(folder) => AdaptiveKeepalive::new(JsonFile::new(folder.join("keepalive.json"))),
            None => AdaptiveKeepalive::new(MemoryStore::default()),
        })
    }

    pub(super) fn max_message(&self) -> u64 {
        self.max_message.0
    }

    pub(super) fn close_timeout(&self) -> Duration {
        self.close_timeout.0
    }

    /// Returns whether a session is kept over the connections.
    pub(super) fn has_session(&self) -> bool {
        self.session || self.session_store.is_some()
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|timeout| timeout.0)
    }
}

/// A keepalive policy, or `adaptive`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ConnectKeepalive {
    Fixed(KeepaliveArg),
    Adaptive,
}

impl FromStr for ConnectKeepalive {
    type Err = KeepaliveError;

    fn from_str(text: &str) -> Result<Self, KeepaliveError> {
        match text {
            "adaptive" => Ok(Self::Adaptive),
            text => text.parse().map(Self::Fixed),
        }
    }
}

/// Returns where to remember things, made if need be; nothing if there is no home.
fn state_folder() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let folder = state.join("everwire");
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}
