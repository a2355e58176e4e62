//! The clients that a run connects with: one for each source address.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use everwire::{
    Client, Config,
    dial::{
        Dialer, ProxyConfig, ProxyEnvironment, Resolve, Resolving, SocketConfig, SystemResolver,
    },
    session::SUBPROTOCOL,
};
use tokio::sync::OnceCell;

use super::args::TargetArgs;
use crate::{
    connect::{escape, masked},
    deflate::DeflateArg,
    destination::{Destination, Header},
};

/// What the system receives on behalf of a slow consumer, in bytes, before it stops the server.
const SLOW_BUFFER: usize = 4096;

/// Whom to connect to, and with what.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The URL without what is secret in it.
    pub(super) shown: String,
    pub(super) deflate: DeflateArg,
    clients: Arc<[Client]>,
    slow: Arc<[Client]>,
}

impl Target {
    /// Checks the arguments. `biggest` is the size of the largest message, `queue` of what may
    /// wait to be sent on one connection.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub(super) fn new(args: &TargetArgs, biggest: u64, queue: usize) -> Result<Self, String> {
        let mut config = Config::default();
        config.keepalive = args.keepalive.0;
        config.deflate = args.deflate.config(0);
        // A server may send more than it was sent, and that is to be counted, not refused.
        config.limits.message = config.limits.message.max(2 * biggest);
        config.limits.send_queue = config.limits.send_queue.max(queue);
        let dialer = dialer(&args.destination)?;
        let sources = args.sources.iter().copied().map(Some);
        let sources: Vec<_> = if args.sources.is_empty() { vec![None] } else { sources.collect() };
        let client = |source: &Option<IpAddr>, receive_buffer| {
            let mut socket = SocketConfig::default();
            socket.local_ip = *source;
            socket.receive_buffer = receive_buffer;
            let mut config = config.clone();
            if receive_buffer.is_some() {
                config.limits.receive_queue = 1;
            }
            client(args, config, dialer.clone().with_socket(socket))
        };
        let made = |receive_buffer| -> Result<Arc<[Client]>, String> {
            sources.iter().map(|source| client(source, receive_buffer)).collect()
        };
        let (clients, slow) = (made(None)?, made(Some(SLOW_BUFFER))?);
        let target = clients[0].target();
        let path = escape(&masked(target.path_and_query()));
        let shown = format!("{}://{}{path}", target.scheme().as_str(), target.host_header());
        Ok(Self { shown, deflate: args.deflate, clients, slow })
    }

    /// Offers sessions on every connection.
    pub(super) fn want_sessions(&mut self) {
        let offering = self.clients.iter().map(|client| client.clone().subprotocols([SUBPROTOCOL]));
        self.clients = offering.collect();
    }

    /// Returns the client for the connection with this number.
    pub(super) fn client(&self, connection: usize) -> Client {
        self.clients[connection % self.clients.len()].clone()
    }

    /// Returns the client for a slow consumer. The system takes little on its behalf, so that the
    /// server soon feels it.
    pub(super) fn slow_client(&self, idx: usize) -> Client {
        self.slow[idx % self.slow.len()].clone()
    }
}

fn client(args: &TargetArgs, config: Config, dialer: Dialer) -> Result<Client, String> {
    let destination = &args.destination;
    let mut client = Client::new(&destination.url)
        .map_err(|error| error.to_string())?
        .config(config)
        .subprotocols(&destination.subprotocols)
        .connect_timeout(args.connect_timeout.0)
        .dialer(dialer);
    for Header(name, value) in &destination.headers {
        client = client.header(name.clone(), value.clone());
    }
    if let Some(origin) = &destination.origin {
        client = client.origin(origin.clone());
    }
    Ok(client)
}

fn dialer(destination: &Destination) -> Result<Dialer, String> {
    let environment = || ProxyConfig::Environment(ProxyEnvironment::read());
    let proxy = destination.proxy().unwrap_or_else(environment);
    let dialer = Dialer::new().with_proxy(proxy).with_resolver(Remembered::default());
    Ok(match destination.tls()? {
        Some(tls) => dialer.with_tls(tls),
        None => dialer,
    })
}

/// The system's resolver, asked once: a run of ten thousand connections measures the server, not
/// the name service.
#[derive(Debug, Default)]
struct Remembered(OnceCell<Vec<SocketAddr>>);

impl Resolve for Remembered {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move {
            self.0.get_or_try_init(|| SystemResolver.resolve(host, port)).await.cloned()
        })
    }
}
