//! What the search learns from a client's connections, and what they learn from it.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use everwire_proto::{Cause, Closure, Keepalive, Tolerance};
use tokio::task::spawn_blocking;

use super::{AdaptiveKeepalive, KeepaliveStore, Search};
use crate::{Sender, clock, reconnect::adjust};

/// Tunes the keepalive of one client's connections, one after the other.
pub(in crate::reconnect) struct Tuner {
    setup: AdaptiveKeepalive,
    /// The search on the path of the last connection.
    path: Option<Path>,
    /// What ended the last connection, if the path may have forgotten it.
    suspect: Option<Duration>,
}

struct Path {
    label: String,
    search: Search,
    /// Trials of the connection that were taken into account.
    n_survived: u32,
}

impl Tuner {
    pub(in crate::reconnect) fn new(setup: AdaptiveKeepalive) -> Self {
        Self { setup, path: None, suspect: None }
    }

    /// Takes over a connection that was opened to `host`; `at_once` if it was the first attempt
    /// since the last one ended, and nothing was said of a change of the network.
    pub(in crate::reconnect) async fn open(&mut self, host: &str, sender: &Sender, at_once: bool) {
        let suspect = self.suspect.take().filter(|_| at_once);
        let label = self.label(host).await;
        match &mut self.path {
            Some(path) if path.label == label => {
                path.n_survived = 0;
                // The path is fine, and yet the connection was gone: it had been forgotten.
                if let Some(silence) = suspect
                    && path.search.handle_failed(silence, SystemTime::now())
                {
                    self.save();
                }
            }
            _ => self.path = Some(self.load(label).await),
        }
        self.apply(sender);
    }

    /// Looks from time to time at what the connection survived; ends with the connection.
    pub(in crate::reconnect) async fn run(&mut self, sender: &Sender) {
        while let Some(path) = &self.path {
            tokio::time::sleep(path.search.interval()).await;
            let Some(tolerance) = adjust::tolerance(sender).await else { return };
            if self.learn(tolerance) {
                self.apply(sender);
            }
        }
    }

    /// Takes leave of a connection. `idle_since` is when anything last went either way.
    pub(in crate::reconnect) fn close(&mut self, closure: &Closure, idle_since: Instant) {
        self.learn(closure.tolerance);
        let idle = clock::now().saturating_duration_since(idle_since);
        let silence = match closure.cause {
            // Its last Ping went unanswered. The first one of a connection is no trial, and yet it
            // may be all that ever goes out.
            Cause::KeepaliveTimeout { .. } => idle.checked_sub(self.setup.timeout),
            // Some boxes say so when they forget: a proxy ends both of its connections.
            Cause::EofBetweenFrames | Cause::Reset | Cause::PathTimeout | Cause::Tls => Some(idle),
            _ => None,
        };
        let silence = silence.filter(|silence| *silence >= self.setup.shortest);
        self.suspect = closure.tolerance.failed.or(silence);
    }

    /// Takes what the connection survived since the last look. Returns whether the interval changed.
    fn learn(&mut self, tolerance: Tolerance) -> bool {
        let Some(path) = &mut self.path else { return false };
        let Some(silence) = tolerance.survived else { return false };
        let mut changed = false;
        for _ in path.n_survived..tolerance.n_survived {
            changed |= path.search.handle_survived(silence, SystemTime::now());
        }
        path.n_survived = tolerance.n_survived;
        if changed {
            self.save();
        }
        changed
    }

    fn apply(&self, sender: &Sender) {
        let Some(path) = &self.path else { return };
        let interval = path.search.interval();
        tracing::debug!(label = path.label, ?interval, "keepalive interval");
        adjust::set_keepalive(sender, Keepalive::new(interval, self.setup.timeout).learning());
    }

    async fn label(&self, host: &str) -> String {
        let Some(network) = self.setup.network.clone() else { return host.to_owned() };
        match spawn_blocking(move || network()).await {
            Ok(network) => format!("{network}/{host}"),
            Err(_) => host.to_owned(), // It panicked, which was logged.
        }
    }

    async fn load(&self, label: String) -> Path {
        let (store, wanted) = (self.setup.store.clone(), label.clone());
        let record = spawn_blocking(move || store.load(&wanted)).await.ok().flatten();
        let AdaptiveKeepalive { shortest, longest, .. } = self.setup;
        let search = Search::new(shortest, longest, record, SystemTime::now());
        Path { label, search, n_survived: 0 }
    }

    fn save(&self) {
        let Some(path) = &self.path else { return };
        let (label, record) = (path.label.clone(), path.search.record());
        let store: Arc<dyn KeepaliveStore> = self.setup.store.clone();
        spawn_blocking(move || store.save(&label, record));
    }
}
