use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use everwire_proto::{Message, Payload};
use everwire_session::{ClientSession, Config, End, Event, Prepared, Transmit};
use tokio::time::Instant;

use crate::{
    WebSocket,
    adapt::Attach,
    clock,
    session::{
        SessionHandler, SessionMessage, SessionRoute, SessionSender, Sessions,
        alarm::{Alarm, Ring},
    },
};

/// Takes what comes, and says nothing.
struct Silent(Arc<Mutex<Option<Instant>>>);

impl SessionHandler for Silent {
    fn on_message(&mut self, _: &SessionSender, _: SessionMessage) {}

    fn on_end(&mut self, _: &End) {
        *self.0.lock().unwrap() = Some(Instant::now());
    }
}

/// A client with a connection in memory.
struct Visitor {
    session: ClientSession,
    ws: WebSocket,
}

impl Visitor {
    async fn connect(sessions: &Sessions) -> Self {
        let mut session = ClientSession::new(clock::now(), Arc::new(Config::client()));
        let (near, far) = tokio::io::duplex(64 << 10);
        let ws = Attach::client().pull(near);
        Attach::server().run(far, SessionRoute::new(sessions).inline());
        let hello = session.hello(clock::now()).unwrap().hello;
        ws.send(Message::Binary(Payload::Shared(hello))).await.unwrap();
        let mut this = Self { session, ws };
        this.hear().await;
        assert!(matches!(this.session.poll_event(clock::now()), Some(Event::Opened { .. })));
        this.transmit().await;
        this
    }

    /// Takes in one message of the server's.
    async fn hear(&mut self) {
        let frame = self.ws.recv().await.unwrap().into_payload().into_bytes();
        self.session.handle_message(clock::now(), 1, &frame);
    }

    async fn transmit(&mut self) {
        while let Some(Transmit::Frame(frame)) = self.session.poll_transmit(clock::now(), 1) {
            self.ws.send(Message::Binary(Payload::Shared(frame))).await.unwrap();
        }
    }

    /// Says something and returns how long it took until the server had acknowledged it.
    async fn say(&mut self) -> Duration {
        let (now, began) = (clock::now(), Instant::now());
        self.session.send(now, Prepared::text("hello")).unwrap();
        self.transmit().await;
        while self.session.buffered().1 > 0 {
            self.hear().await;
            self.transmit().await;
        }
        began.elapsed()
    }
}

fn silent() -> (Sessions, Arc<Mutex<Option<Instant>>>) {
    let ended: Arc<Mutex<_>> = Arc::default();
    let end = Arc::clone(&ended);
    (Sessions::builder().push(move |_| Silent(end.clone())), ended)
}

fn entries(alarm: &Alarm) -> usize {
    alarm.lock().entries.values().map(BTreeSet::len).sum()
}

#[tokio::test(start_paused = true)]
async fn a_session_has_one_entry_however_often_it_acknowledges() {
    let (sessions, _) = silent();
    let mut visitors = Vec::new();
    for _ in 0..3 {
        visitors.push(Visitor::connect(&sessions).await);
    }
    for _ in 0..100 {
        for visitor in &mut visitors {
            visitor.say().await;
        }
        assert!(entries(sessions.0.alarm()) <= 3, "{} entries", entries(sessions.0.alarm()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_nobody_has_is_gone_with_its_task() {
    let (sessions, _) = silent();
    let _visitor = Visitor::connect(&sessions).await;
    let live = sessions.all()[0].live().clone();
    let metrics = tokio::runtime::Handle::current().metrics();
    let n_tasks = metrics.num_alive_tasks();
    for at in [Duration::ZERO, Duration::from_secs(3600)] {
        let alarm = Arc::new(Alarm::default());
        alarm.set(None, Ring::after(clock::now() + at), &live);
        // It rings, or waits for its time.
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(metrics.num_alive_tasks(), n_tasks + 1);
        let gone = Arc::downgrade(&alarm);
        drop(alarm);
        assert!(gone.upgrade().is_none(), "set for {at:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(metrics.num_alive_tasks(), n_tasks);
    }
}

#[tokio::test(start_paused = true)]
async fn no_acknowledgement_and_no_end_is_late() {
    let (sessions, ended) = silent();
    let mut visitor = Visitor::connect(&sessions).await;
    let slack = Duration::from_millis(5);
    for pause in [0, 1, 20, 199, 200, 201, 3000, 0, 24_000, 70] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let took = visitor.say().await;
        let delay = Duration::from_millis(200);
        assert!((delay..delay + slack).contains(&took), "{took:?} after {pause} ms");
    }
    visitor.ws.abort();
    let cut = Instant::now();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let lived = ended.lock().unwrap().expect("it has ended") - cut;
    let ttl = Config::client().ttl;
    assert!((ttl..ttl + slack).contains(&lived), "{lived:?}");
    assert_eq!(entries(sessions.0.alarm()), 0);
}

/// Counts the sessions that have ended.
struct Counted(Arc<AtomicUsize>);

impl SessionHandler for Counted {
    fn on_message(&mut self, _: &SessionSender, _: SessionMessage) {}

    fn on_end(&mut self, _: &End) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn others_have_their_turn_when_it_has_rung_for_256_sessions() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = ended.clone();
    let sessions = Sessions::builder().push(move |_| Counted(counted.clone()));
    let mut visitors = Vec::new();
    for _ in 0..600 {
        visitors.push(Visitor::connect(&sessions).await);
    }
    tokio::time::sleep(Duration::from_millis(1)).await; // The last is confirmed as well.
    visitors.iter().for_each(|visitor| visitor.ws.abort());
    let last = Duration::from_secs(1);
    tokio::time::sleep(Config::client().ttl - last).await;
    assert_eq!((sessions.stats().detached, ended.load(Ordering::Relaxed)), (600, 0));
    tokio::time::advance(last + Duration::from_millis(5)).await;
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        seen.insert(ended.load(Ordering::Relaxed));
        tokio::task::yield_now().await;
    }
    assert_eq!(Vec::from_iter(seen), [0, 256, 512, 600]);
}
