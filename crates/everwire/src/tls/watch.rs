//! Reloading certificates when their files change.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::ServerTls;

impl ServerTls {
    /// Looks at the files every `period` and reloads when one has changed; never returns.
    ///
    /// A change is a new modification time, length or inode. Polling works where notification does not
    /// (network file systems, bind mounts, Kubernetes' symbolic links). A reload that fails, perhaps because
    /// only one of two files has been replaced yet, is logged and leaves everything as it was; the next change
    /// tries again. A program that wants to reload on a signal calls [`ServerTls::reload`] itself.
    ///
    /// # Panics
    /// If `period` is zero.
    ///
    /// # Cancel safety
    /// May be dropped at any time: run it in a task, or beside the server in `select!`.
    pub async fn watch(&self, period: Duration) -> Infallible {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The state before the first look is unknown; a change between load and watch must not be missed, so
        // the first tick always reloads.
        let mut seen = None;
        loop {
            ticks.tick().await;
            let tls = self.clone();
            let before = seen.take();
            // The disk may be slow. The fingerprint is taken before the reload: what changes while it reads is
            // found at the next tick.
            let looked = spawn_blocking(move || {
                let fingerprint = tls.config().fingerprint();
                if before.as_ref() != Some(&fingerprint) {
                    tls.reload_and_log();
                }
                fingerprint
            });
            seen = looked.await.ok();
        }
    }

    fn reload_and_log(&self) {
        match self.reload() {
            Ok(()) => tracing::info!(config = ?self.config(), "tls certificates loaded"),
            Err(error) => {
                tracing::warn!(%error, "tls certificates not reloaded, the old ones stay in use");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{Authority, handshake};
    use crate::tls::{ClientTls, PemSource, ServerTls, ServerTlsConfig};

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_picked_up() {
        let (old, new) = (Authority::new(), Authority::new());
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = old.issue_files(dir.path(), "ws.test");
        let config = ServerTlsConfig::new(PemSource::file(&cert), PemSource::file(&key));
        let server = ServerTls::load(config).unwrap();
        let client = ClientTls::builder().roots(new.pem()).build().unwrap();

        let work = async {
            tokio::time::sleep(Duration::from_secs(15)).await;
            assert!(handshake(&client, &server, "ws.test").await.0.is_err());
            new.issue_files(dir.path(), "ws.test");
            tokio::time::sleep(Duration::from_secs(15)).await;
            handshake(&client, &server, "ws.test").await.0.unwrap();
        };
        tokio::select! {
            () = work => {}
            never = server.watch(Duration::from_secs(10)) => match never {},
        }
    }
}
