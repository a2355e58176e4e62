//! The order of the examination.

use std::sync::Arc;

use everwire::dial::DialStream;
use tokio::time::Instant;

use super::{
    args::Args,
    closing::{self, Closing},
    fault::Fault,
    idle,
    line::Line,
    message::Messages,
    ping::{self, Pings},
    reach::{Way, expiry_fault},
    report::{Report, Verdict, millis},
    setup::Setup,
    upgrade::{Upgrade, no_subprotocol},
};
use crate::progress::Progress;

/// Examines one URL, one check after the other.
pub(super) struct Doctor<'a> {
    setup: Arc<Setup>,
    args: &'a Args,
    progress: Progress,
    report: Report,
}

impl<'a> Doctor<'a> {
    pub(super) fn new(setup: Setup, args: &'a Args) -> Self {
        let report = Report::new(setup.shown_url());
        Self { setup: Arc::new(setup), args, progress: Progress::new(), report }
    }

    /// Runs every check that can be run.
    pub(super) async fn examine(mut self) -> Report {
        let began = Instant::now();
        if let Some(line) = self.connect().await {
            let stays_open = self.converse(line).await;
            self.offer().await;
            if self.args.max_message.0 == 0 {
                self.report.note("message", "nothing is sent: --max-message is 0");
            } else if stays_open {
                self.send().await;
            } else {
                // What ended one connection would end another, and be told twice.
                self.report.note("message", "not judged: the connection does not stay open");
            }
            self.wait().await;
            self.report.verdict =
                if self.report.faults.is_empty() { Verdict::Ok } else { Verdict::Wrong };
        }
        self.progress.clear();
        self.report.took_ms = millis(began.elapsed());
        self.report
    }

    /// From the name to an open connection.
    async fn connect(&mut self) -> Option<Line> {
        self.report.verdict = Verdict::NoConnection;
        let host = self.setup.target.host_and_port();
        self.progress.show(&format!("connecting to {host}"));
        let mut way = Way::default();
        let reached = self.setup.reach(&mut way).await;
        (self.report.dns, self.report.tcp, self.report.tls) = (way.dns, way.tcp, way.tls);
        let io = self.keep(reached)?;
        self.report.faults.extend(self.report.tls.as_ref().and_then(expiry_fault));
        self.upgrade(io).await
    }

    async fn upgrade(&mut self, mut io: DialStream) -> Option<Line> {
        let mut upgrade = Upgrade::default();
        let upgraded = self.setup.upgrade(&mut io, &[], &mut upgrade).await;
        let is_101 = upgrade.status == Some(101);
        let has_none =
            upgraded.is_ok() && upgrade.subprotocol.is_none() && self.setup.has_subprotocols();
        self.report.upgrade = Some(upgrade);
        if is_101 {
            // There is a server that speaks the protocol, if not well.
            self.report.verdict = Verdict::Wrong;
        }
        let upgraded = self.keep(upgraded)?;
        if has_none {
            self.report.faults.push(no_subprotocol());
        }
        Some(Line::new(io, upgraded.early))
    }

    /// Pings and the closing handshake, on the first connection. Returns whether it lasted so long.
    async fn converse(&mut self, mut line: Line) -> bool {
        self.progress.show("ping: waiting for answers");
        let (timeout, mut pings) = (self.setup.timeout, Pings::default());
        let result = ping::check(&mut line, self.args.pings, timeout, &mut pings).await;
        self.report.ping = Some(pings);
        match result {
            Ok(fault) => self.report.faults.extend(fault),
            Err(fault) => {
                self.report.faults.push(fault);
                self.report.note("close", "the server did not wait for our Close");
                return false;
            }
        }
        self.progress.show("close: waiting for the answer");
        let mut closing = Closing::default();
        let faults = closing::check(&mut line, timeout, &mut closing).await;
        self.report.close = Some(closing);
        self.report.faults.extend(faults);
        true
    }

    /// Which extensions the server takes.
    async fn offer(&mut self) {
        self.progress.show("extensions: offering permessage-deflate");
        let extensions = self.setup.extensions().await;
        self.report.extensions = self.keep(extensions);
    }

    /// The largest message.
    async fn send(&mut self) {
        let messages = Messages::new(&self.setup, self.args.max_message.0, &self.progress);
        let (found, fault) = messages.find().await;
        self.report.faults.extend(fault);
        match found {
            Ok(largest) => {
                if let Some(size) = largest.other {
                    let text = format!("the server answers {size} bytes with something else");
                    self.report.note("message", text);
                }
                self.report.message = Some(largest);
            }
            Err(why) => self.report.note("message", format!("not judged: {why}")),
        }
    }

    /// How long a silent connection lives.
    async fn wait(&mut self) {
        let Some(up_to) = self.args.idle_timeout else { return };
        if self.report.ping.as_ref().is_none_or(|pings| pings.answered == 0) {
            return self
                .report
                .note("idle", "not judged: a silent connection is asked for life by a Ping");
        }
        let idle = idle::find(self.setup.clone(), up_to.0, &self.progress).await;
        self.report.idle = self.keep(idle);
    }

    /// Keeps the fault of a check that came to nothing.
    fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.report.faults.push(fault)).ok()
    }
}
