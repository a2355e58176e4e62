//! What a reconnecting client wants of a connection beside messages.

use everwire_proto::{Keepalive, Tolerance};

use crate::{
    Sender,
    shared::{Adjustment, Outgoing},
};

/// Asks the peer for life at once and waits for nothing; one that shows none is given up by the
/// connection.
pub(super) fn probe(sender: &Sender) {
    let probe = Adjustment(Box::new(|connection, now| _ = connection.probe(now)));
    let _ = sender.shared().push_admitted(Outgoing::Adjust(probe));
}

/// Changes the keepalive of a connection.
pub(super) fn set_keepalive(sender: &Sender, keepalive: Keepalive) {
    let set = Adjustment(Box::new(move |connection, _| connection.set_keepalive(keepalive)));
    let _ = sender.shared().push_admitted(Outgoing::Adjust(set));
}

/// Returns what the connection's keepalive survived so far; `None` if the connection has ended.
pub(super) async fn tolerance(sender: &Sender) -> Option<Tolerance> {
    let (answer, asked) = tokio::sync::oneshot::channel();
    let ask = Adjustment(Box::new(|connection, _| _ = answer.send(connection.tolerance())));
    sender.shared().push_admitted(Outgoing::Adjust(ask)).ok()?;
    asked.await.ok()
}
