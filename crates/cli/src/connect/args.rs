//! What `connect` can be told, and the client that is made of it.

use std::{env, fs, path::PathBuf, str::FromStr, time::Duration};

use clap::{ArgAction, builder::FalseyValueParser};
use everwire::{
    Client, ClientObserver, CloseCode, CloseFrame, Config, DeflateConfig, Keepalive,
    dial::{ProxyConfig, ProxyUrl},
    reconnect::{AdaptiveKeepalive, JsonFile, MemoryStore},
    tls::{ClientTls, PemSource},
};
use http::{HeaderName, HeaderValue};

use crate::{
    deflate::DeflateArg,
    period::{KeepaliveArg, KeepaliveError, Period},
    size::Size,
};

const AFTER_HELP: &str = "\
Messages go to stdout, one a line and nothing else; all the rest goes to stderr. On a terminal, control characters of a
message are escaped and binary messages are shown as a hex dump. In a pipe, a message is written as it is, with a
newline behind it (with --bin: without).

Each line of stdin is sent as a text message. At the end of stdin the connection is closed and what still comes is
printed; with -n it stays open until so many messages came. With --bin, all of stdin is one binary message, or each
line when it is typed.

Exit status:
  0  the connection ended with a closing handshake (with 1000, 1001 or no code, if the server closed)
  1  stdout could not be written
  2  wrong usage
  3  no connection: the server refused or could not be reached
  4  the connection ended in another way, or before -n messages came
  6  --timeout passed

Examples:
  everwire connect wss://example.com/live
  echo hi | everwire connect -n1 ws://127.0.0.1:8080/echo
  everwire connect -v -H 'Authorization: Bearer …' --subprotocol chat.v2 wss://example.com/chat";

/// What `connect` was told.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Where to connect to, such as `ws://127.0.0.1:8080/echo`.
    #[arg(env = "EVERWIRE_URL", hide_env_values = true)]
    url: String,

    /// Sends a header with the opening handshake; may be repeated.
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME: VALUE",
        env = "EVERWIRE_HEADER",
        hide_env_values = true
    )]
    headers: Vec<Header>,

    /// Offers a subprotocol; may be repeated, the preferred one first.
    #[arg(long = "subprotocol", value_name = "NAME", env = "EVERWIRE_SUBPROTOCOL")]
    subprotocols: Vec<String>,

    /// Connects as if from a page of this origin.
    #[arg(long, value_name = "ORIGIN", env = "EVERWIRE_CONNECT_ORIGIN")]
    origin: Option<HeaderValue>,

    /// Sends binary messages, and writes messages into a pipe without a newline behind them.
    #[arg(long, env = "EVERWIRE_BIN", value_parser = FalseyValueParser::new())]
    pub(super) bin: bool,

    /// Pings the server at an interval (5s) and prints the round-trip times.
    #[arg(
        long,
        value_name = "INTERVAL",
        env = "EVERWIRE_PING",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5s"
    )]
    pub(super) ping: Option<Period>,

    /// Closes with this code and reason instead of 1000.
    #[arg(long, num_args = 2, value_names = ["CODE", "REASON"])]
    close: Vec<String>,

    /// Closes after so many received messages.
    #[arg(short = 'n', long = "count", value_name = "N", env = "EVERWIRE_COUNT",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Shows the opening handshake, without secrets, and every frame.
    #[arg(short, long, env = "EVERWIRE_VERBOSE", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) verbose: bool,

    /// Accepts every certificate. The connection is then secret from nobody.
    #[arg(
        short = 'k',
        long,
        env = "EVERWIRE_DANGER_ACCEPT_ANY_CERTIFICATE",
        value_parser = FalseyValueParser::new(),
        action = ArgAction::SetTrue,
        conflicts_with = "ca"
    )]
    danger_accept_any_certificate: bool,

    /// Trusts the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_CA")]
    ca: Option<PathBuf>,

    /// Shows the certificate in this PEM file to the server.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_CERT", requires = "key")]
    cert: Option<PathBuf>,

    /// The key of --cert, a PEM file.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_KEY", requires = "cert")]
    key: Option<PathBuf>,

    /// Connects through this proxy (http, https, socks5, socks5h) instead of the environment's.
    #[arg(long, value_name = "URL", env = "EVERWIRE_PROXY", hide_env_values = true)]
    proxy: Option<ProxyUrl>,

    /// Connects directly, whatever the environment says.
    #[arg(
        long,
        env = "EVERWIRE_NO_PROXY",
        value_parser = FalseyValueParser::new(),
        action = ArgAction::SetTrue,
        conflicts_with = "proxy"
    )]
    no_proxy: bool,

    /// Connects again when the connection ends, unless that makes no sense; says so on stderr.
    /// Lines of stdin wait for a connection. A line that a dying connection took may be lost.
    #[arg(
        long,
        env = "EVERWIRE_RECONNECT",
        value_parser = FalseyValueParser::new(),
        action = ArgAction::SetTrue,
        conflicts_with = "ping"
    )]
    pub(super) reconnect: bool,

    /// Follows up to so many redirects.
    #[arg(long, value_name = "N", env = "EVERWIRE_REDIRECTS", default_value_t = 0)]
    redirects: usize,

    /// Time until the connection is open.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_CONNECT_TIMEOUT", default_value = "10s")]
    connect_timeout: Period,

    /// Gives up after this time, all in all.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_TIMEOUT")]
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
        config.limits.message = self.max_message.0;
        config.deflate = self.deflate.config(DeflateConfig::default().threshold as u64);
        let mut client = Client::new(&self.url)
            .map_err(|error| error.to_string())?
            .config(config)
            .subprotocols(&self.subprotocols)
            .redirects(self.redirects)
            .connect_timeout(self.connect_timeout.0);
        for Header(name, value) in &self.headers {
            client = client.header(name.clone(), value.clone());
        }
        if let Some(origin) = &self.origin {
            client = client.origin(origin.clone());
        }
        if let Some(proxy) = &self.proxy {
            client = client.proxy(ProxyConfig::Url(proxy.clone()));
        } else if self.no_proxy {
            client = client.proxy(ProxyConfig::Direct);
        }
        if let Some(tls) = self.tls()? {
            client = client.tls(tls);
        }
        if let Some(observer) = observer {
            client = client.observer(observer);
        }
        Ok(client)
    }

    fn tls(&self) -> Result<Option<ClientTls>, String> {
        let mut builder = ClientTls::builder();
        if self.danger_accept_any_certificate {
            builder = builder.danger_accept_any_certificate();
        }
        if let Some(ca) = &self.ca {
            builder = builder.roots(PemSource::file(ca));
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            builder = builder.identity(PemSource::file(cert), PemSource::file(key));
        }
        let is_default =
            !self.danger_accept_any_certificate && self.ca.is_none() && self.cert.is_none();
        if is_default {
            return Ok(None);
        }
        builder.build().map(Some).map_err(|error| error.to_string())
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

/// A header, as in `Name: value`.
#[derive(Clone)]
pub(crate) struct Header(pub(crate) HeaderName, pub(crate) HeaderValue);

impl FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected NAME: VALUE";
        let (name, value) = text.split_once(':').ok_or(expected)?;
        let name = name.trim().parse().map_err(|_| expected)?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| expected)?;
        Ok(Self(name, value))
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ***", self.0)
    }
}
