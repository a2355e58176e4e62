//! The task of a reconnecting client: it does what the state machine says.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use everwire_proto::Closure;
use futures_util::future::{Either, select, try_join_all};
use http::HeaderMap;
use tokio::time::sleep_until;

use super::{
    AttemptError, AttemptInfo, Ending, Phase, ReconnectBuilder, Reconnector, Retry, State, Stop,
    Wake,
    adaptive::Tuner,
    adjust,
    builder::{Headers, OnState, guarded},
    link::{Link, Pause, Up},
    reconnector::Attempt,
};
use crate::{Sender, WebSocket, clock, dial::Target, random};

/// The longest that is waited for a connection to prove stable, whatever its keepalive.
const STABLE_LIMIT: Duration = Duration::from_secs(60);

/// Runs the attempts, the connections and the orders of one client.
pub(super) struct Runner {
    link: Arc<Link>,
    machine: Reconnector,
    setup: Arc<Setup>,
    on_state: Option<OnState>,
    tuner: Option<Tuner>,
    /// Attempts that failed, and changes of the network, since the last connection ended.
    n_failed: u32,
    /// How it ended last, for providers and for who looks at the states.
    last: Option<Ending>,
    /// Why it stops.
    stop: Option<Stop>,
    /// The phase and the attempt that were told last.
    told: Option<(Phase, u32)>,
    /// Messages dropped so far that were logged.
    logged_drops: u64,
}

/// What attempts need; they borrow nothing of the runner.
type Setup = ReconnectBuilder;

impl Runner {
    pub(super) fn new(mut setup: ReconnectBuilder, link: Arc<Link>) -> Self {
        let mut policy = setup.policy.clone();
        if let Some(adaptive) = &setup.adaptive {
            let mut config = setup.client.connection_config().clone();
            config.keepalive = Some(adaptive.first());
            setup.client = setup.client.config(config);
        }
        let interval = setup.client.connection_config().keepalive.map(|it| it.interval);
        let twice = interval.unwrap_or_default().saturating_mul(2).min(STABLE_LIMIT);
        policy.stable_after = policy.stable_after.max(twice);
        policy.attempt_max = policy.attempt_max.min(setup.client.attempt_limit());
        let on_state = setup.on_state.take();
        let tuner = setup.adaptive.take().map(Tuner::new);
        Self {
            link,
            machine: Reconnector::new(policy, clock::now(), random::fill),
            setup: Arc::new(setup),
            on_state,
            tuner,
            n_failed: 0,
            last: None,
            stop: None,
            told: None,
            logged_drops: 0,
        }
    }

    pub(super) async fn run(mut self) {
        // However this task ends, nobody waits for it in vain.
        let mut ending = StopOnDrop(self.link.clone(), None);
        loop {
            if let Some(attempt) = self.machine.handle_timeout(clock::now()) {
                self.attempt(attempt).await;
                continue;
            }
            self.tell();
            let link = self.link.clone();
            match self.machine.poll_timeout() {
                _ if self.machine.phase() == Phase::Stopped => break,
                Some(at) => {
                    select(pin!(sleep_until(at.into())), pin!(link.news())).await;
                }
                None => link.news().await,
            }
            self.obey();
        }
        let stop = self.stop.take().unwrap_or(Stop::Dropped);
        tracing::debug!(%stop, "reconnecting client stopped");
        ending.1 = Some(stop.clone());
        drop(ending);
        self.call_on_state(&State::Stopped(stop));
    }

    /// Makes one attempt, and runs the connection if there is one.
    async fn attempt(&mut self, attempt: Attempt) {
        self.tell();
        let info = AttemptInfo {
            number: attempt.number,
            refresh_token: attempt.refresh_token,
            last: self.last.clone(),
        };
        let generation = self.machine.generation() + 1;
        let opening = open(self.setup.clone(), info, attempt.timeout, generation);
        let mut opening = Box::pin(opening);
        let link = self.link.clone();
        let result = loop {
            match select(&mut opening, pin!(link.news())).await {
                Either::Left((result, _)) => break result,
                Either::Right(_) => {
                    self.obey();
                    if self.machine.phase() != Phase::Attempting {
                        return; // Dropping the attempt closes its socket.
                    }
                }
            }
        };
        match result {
            Ok(opened) => {
                let generation = self.machine.handle_opened(clock::now(), opened.took);
                self.serve(opened, generation).await;
            }
            Err(error) => {
                self.n_failed += 1;
                tracing::debug!(attempt = attempt.number, %error, "attempt to connect failed");
                self.ended(Ending::Failed(Arc::new(error)));
            }
        }
    }

    /// Runs an open connection to its end.
    async fn serve(&mut self, opened: Opened, generation: u64) {
        let (sender, receiver) = opened.ws.split();
        let (link, up) = (self.link.clone(), Up { generation, sender: sender.clone() });
        link.receive_from(generation, sender.clone(), receiver);
        let mut flushing = link.flush(&up).is_some();
        self.tell();
        self.log_drops();
        let mut flush = pin!(flush(&link, &up));
        let at_once = std::mem::take(&mut self.n_failed) == 0;
        let mut tuner = self.tuner.take();
        let mut tuning = Box::pin(tune(&mut tuner, &opened.host, &sender, at_once));
        let closure = loop {
            tokio::select! {
                closure = sender.closed() => break closure,
                () = &mut flush, if flushing => flushing = false,
                () = &mut tuning => {}
                () = link.news() => match self.obey_open(&sender).await {
                    Obeyed::Closed(closure) => {
                        self.stop = Some(Stop::Closed(Some(closure)));
                        return self.machine.stop();
                    }
                    Obeyed::Nothing if self.machine.phase() == Phase::Stopped => return,
                    Obeyed::Nothing => {}
                },
            }
        };
        drop(tuning);
        if let Some(tuner) = &mut tuner {
            let last_received = sender.shared().last_received();
            tuner.close(
                &closure,
                link.last_handed().map_or(last_received, |it| it.max(last_received)),
            );
        }
        self.tuner = tuner;
        link.down(generation);
        tracing::debug!(generation, %closure, "connection ended");
        self.ended(Ending::Closed(closure));
    }

    /// Lets the machine decide what follows.
    fn ended(&mut self, ending: Ending) {
        let mut retry = ending.retry();
        if let Some(decide) = &self.setup.retry {
            match catch_unwind(AssertUnwindSafe(|| decide(&ending))) {
                Ok(decided) => retry = decided,
                Err(_) => tracing::error!("the function that decides on retries panicked"),
            }
        }
        if retry == Retry::RefreshTokenOnce && !self.setup.has_provider() {
            retry = Retry::Never; // The same would be refused again.
        }
        let failure = ending.failure(retry);
        match ending {
            Ending::Closed(_) => self.machine.handle_closed(clock::now(), failure),
            Ending::Failed(_) => self.machine.handle_failed(clock::now(), failure),
        }
        if self.machine.phase() == Phase::Stopped {
            self.stop = Some(ending.clone().into());
        }
        self.last = Some(ending);
    }

    /// Does what the handles want while no connection is open.
    fn obey(&mut self) {
        let orders = self.link.take_orders();
        if orders.dropped || orders.close.is_some() {
            let closed = orders.close.is_some();
            self.stop = Some(if closed { Stop::Closed(None) } else { Stop::Dropped });
            self.machine.stop();
        }
        match orders.pause {
            Some(Pause::Pause) => self.machine.pause(),
            Some(Pause::Wake) => {
                self.n_failed += 1;
                self.machine.wake(clock::now());
            }
            None => {}
        }
    }

    /// Does what the handles want while a connection is open.
    async fn obey_open(&mut self, sender: &Sender) -> Obeyed {
        let orders = self.link.take_orders();
        if let Some((code, reason)) = orders.close
            && let Ok(closing) = sender.close(code, &reason)
        {
            return Obeyed::Closed(closing.await);
        }
        if orders.dropped {
            self.stop = Some(Stop::Dropped);
            self.machine.stop();
        }
        match orders.pause {
            Some(Pause::Pause) => self.machine.pause(),
            Some(Pause::Wake) => {
                self.n_failed += 1; // The network may be another one.
                if self.machine.wake(clock::now()) == Wake::Probe {
                    adjust::probe(sender);
                }
            }
            None => {}
        }
        Obeyed::Nothing
    }

    /// Tells everybody what the machine does, if that is news. Stopping is told at the end.
    fn tell(&mut self) {
        let (phase, attempt) = (self.machine.phase(), self.machine.attempt());
        let state = match phase {
            // It will be told in a moment that it is under way.
            Phase::Scheduled { at, .. } if at <= clock::now() => return,
            Phase::Scheduled { delay, .. } => {
                State::Connecting { attempt, delay, last: self.last.clone() }
            }
            Phase::Attempting => {
                let last = self.last.clone();
                State::Connecting { attempt, delay: Duration::ZERO, last }
            }
            Phase::Open => State::Open { generation: self.machine.generation() },
            Phase::Waiting => State::Waiting,
            Phase::Stopped => return,
        };
        if self.told.replace((phase, attempt)) != Some((phase, attempt)) {
            self.link.publish(state.clone());
            self.call_on_state(&state);
        }
    }

    fn call_on_state(&mut self, state: &State) {
        let Some(on_state) = &mut self.on_state else { return };
        let on_state = on_state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if catch_unwind(AssertUnwindSafe(|| on_state(state))).is_err() {
            tracing::error!("the function that is told of states panicked; it is not called again");
            self.on_state = None;
        }
    }

    fn log_drops(&mut self) {
        let dropped = self.link.tally().dropped;
        if dropped > self.logged_drops {
            let n = dropped - self.logged_drops;
            tracing::warn!(dropped = n, "messages were dropped while no connection was open");
            self.logged_drops = dropped;
        }
    }
}

enum Obeyed {
    Nothing,
    Closed(Arc<Closure>),
}

/// A connection that is ready.
struct Opened {
    ws: WebSocket,
    /// Where to.
    host: String,
    /// How long connecting took.
    took: Duration,
}

/// Asks the providers, connects, and runs the hook.
async fn open(
    setup: Arc<Setup>,
    info: AttemptInfo,
    timeout: Duration,
    generation: u64,
) -> Result<Opened, AttemptError> {
    let (target, headers) = tokio::join!(target(&setup, &info), headers(&setup, &info));
    let mut client = setup.client.clone().connect_timeout(timeout).replace_headers(headers?);
    if let Some(target) = target? {
        client = client.at(target);
    }
    let begun = clock::now();
    let ws = client.connect().await.map_err(AttemptError::Connect)?;
    let took = clock::now().saturating_duration_since(begun);
    let host = client.target().host().to_owned();
    let Some(hook) = &setup.on_connect else { return Ok(Opened { ws, host, took }) };
    let ready = guarded(setup.on_connect_timeout, || hook(ws, generation)).await;
    Ok(Opened { ws: ready.map_err(AttemptError::Hook)?, host, took })
}

async fn target(setup: &Setup, info: &AttemptInfo) -> Result<Option<Target>, AttemptError> {
    let Some(provider) = &setup.url else { return Ok(None) };
    let url = guarded(setup.provider_timeout, || provider(info.clone())).await;
    let target = url.and_then(|url| Ok(Target::parse(&url)?));
    target.map(Some).map_err(AttemptError::Url)
}

async fn headers(setup: &Setup, info: &AttemptInfo) -> Result<HeaderMap, AttemptError> {
    let ask = |provider: &Headers| {
        let (provider, info) = (provider.clone(), info.clone());
        guarded(setup.provider_timeout, move || provider(info))
    };
    let all = try_join_all(setup.headers.iter().map(ask)).await.map_err(AttemptError::Headers)?;
    let mut merged = HeaderMap::new();
    all.into_iter().for_each(|headers| merged.extend(headers));
    Ok(merged)
}

/// Hands the messages that waited to the connection.
async fn flush(link: &Link, up: &Up) {
    while let Some(message) = link.flush(up) {
        let Ok(permit) = up.sender.reserve().await else { return };
        match permit.send(message) {
            Ok(()) => link.flushed(),
            Err(_) => return, // They wait for the next connection.
        }
    }
}

/// Tunes the keepalive of a connection; never ends, as the connection does first.
async fn tune(tuner: &mut Option<Tuner>, host: &str, sender: &Sender, at_once: bool) {
    if let Some(tuner) = tuner {
        tuner.open(host, sender, at_once).await;
        tuner.run(sender).await;
    }
    std::future::pending::<()>().await;
}

/// Tells the handles that it is over, also when the runtime goes down.
struct StopOnDrop(Arc<Link>, Option<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(self.1.take().unwrap_or(Stop::Dropped));
    }
}
