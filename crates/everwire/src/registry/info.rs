//! What a registry tells of its connections.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use everwire_proto::{Counters, DeflateParams};

use super::Shard;
use crate::{
    ConnectionId,
    shared::{Phase, Shared},
};

/// What has happened on a server since it started. See [`Registry::totals`](crate::Registry::totals).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that are live.
    pub open: u64,
    /// Connections that have ended, by [`Cause::label`](crate::Cause::label).
    pub closed: BTreeMap<&'static str, u64>,
    /// Connections that have ended with a closing handshake.
    pub clean: u64,
    /// Messages that were queued on connections that have ended, and never written whole.
    pub unsent: u64,
    /// Connections that have ended, by the code that the peer sent
    /// ([`Closure::code`](crate::Closure::code): 1005 if its Close had none, 1006 if no Close came).
    pub codes: BTreeMap<u16, u64>,
    /// Opening handshakes that were refused, by HTTP status.
    pub refused: BTreeMap<u16, u64>,
    /// Opening handshakes that ended without an answer, by reason: `proxy_header` (a trusted proxy
    /// sent no PROXY protocol header, or a bad one), `tls`, `timeout`, `eof` (the client went before
    /// its request was complete) and `io`.
    pub failed: BTreeMap<&'static str, u64>,
    /// Bytes that wait to be sent on live connections.
    pub queued_bytes: u64,
    /// Live connections whose send queue is full.
    pub full_queues: u64,
    /// Live connections that agreed on compression.
    pub deflate: u64,
    /// Those of them that keep the history of what they send or receive.
    pub deflate_takeover: u64,
    /// Live connections that have answered a ping, so that their round-trip time is known.
    pub rtt_known: u64,
    /// The sum of those round-trip times.
    pub rtt_sum: Duration,
    /// The longest of them.
    pub rtt_max: Duration,
    /// What went through all connections, live and ended.
    pub counters: Counters,
}

impl Totals {
    /// Adds what has happened on connections that have ended.
    pub(super) fn add_closed(&mut self, more: &Self) {
        self.opened += more.opened;
        self.clean += more.clean;
        self.unsent += more.unsent;
        for (cause, n) in &more.closed {
            *self.closed.entry(cause).or_default() += n;
        }
        for (code, n) in &more.codes {
            *self.codes.entry(*code).or_default() += n;
        }
        add(&mut self.counters, &more.counters);
    }
}

pub(super) fn add(sum: &mut Counters, more: &Counters) {
    sum.bytes_received += more.bytes_received;
    sum.bytes_sent += more.bytes_sent;
    sum.messages_received += more.messages_received;
    sum.messages_sent += more.messages_sent;
}

/// What is known of a live connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnectionId,
    /// The path that the client asked for.
    pub path: Arc<str>,
    /// The address that the socket is connected to.
    pub remote_addr: Option<SocketAddr>,
    /// The address of the client, which a trusted proxy may have told.
    pub client_ip: Option<IpAddr>,
    /// The subprotocol that was agreed on.
    pub subprotocol: Option<String>,
    /// What was agreed upon about compression.
    pub deflate: Option<DeflateParams>,
    /// Since when it is open.
    pub since: Instant,
    /// When the last byte was received.
    pub last_received: Instant,
    /// What went through it.
    pub counters: Counters,
    /// The round-trip time, smoothed as in RFC 6298, up to 16 s; known once a ping was answered.
    pub rtt: Option<Duration>,
    /// How many bytes wait to be sent.
    pub queued_bytes: usize,
    /// Whether a closing handshake has begun.
    pub is_closing: bool,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
}

impl Shard {
    /// Returns what is known of one of the connections.
    pub(super) fn info(&self, shared: &Shared) -> ConnectionInfo {
        ConnectionInfo {
            id: shared.id,
            path: shared.path.clone(),
            remote_addr: shared.peers.remote(),
            client_ip: shared.client_ip(),
            subprotocol: shared.subprotocol().map(Into::into),
            deflate: shared.deflate(),
            since: shared.since(),
            last_received: shared.last_received(),
            counters: shared.counters(),
            rtt: shared.rtt(),
            queued_bytes: shared.send_queue().0,
            is_closing: shared.lock().phase != Phase::Open,
            tags: self.tags.of(shared.id.into()).to_vec(),
        }
    }
}
