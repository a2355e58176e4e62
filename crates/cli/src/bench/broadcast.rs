//! `bench broadcast`: one sends, and everybody has to have it. `bench slow`: the same, and some do
//! not read.

mod publications;
mod receivers;
mod slow;
mod voice;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

pub(super) use self::slow::Slow;
use self::{
    publications::Publications,
    receivers::Receivers,
    voice::{Silence, Voice},
};
use super::{lateness, opening, plan::Pace, stage::Post, tally::Tally};

/// What the threads have in common.
#[derive(Debug)]
pub(super) struct Hall {
    publications: Arc<Publications>,
    /// Threads whose slow consumers have come.
    n_come: AtomicUsize,
    pub(super) slow: Option<Slow>,
    pub(super) pace: Pace,
}

impl Hall {
    pub(super) fn new(pace: Pace, slow: Option<Slow>) -> Self {
        let publications = Arc::new(Publications::new(slow.is_some()));
        Self { publications, n_come: AtomicUsize::new(0), slow, pace }
    }
}

/// One thread's part. The first thread has the sender beside its receivers.
pub(super) async fn run(post: Post, hall: Arc<Hall>) -> Tally {
    let number = post.plan.connections as u32;
    let receivers = Receivers::new(&post, hall.publications.clone(), number);
    let mut tally = Tally::default();
    let senders = opening::open(&post, &mut tally, |place| receivers.seat(place)).await;
    let opened: Vec<bool> = senders.iter().map(Option::is_some).collect();
    hall.publications.join(tally.opened);
    let voice = if post.idx == 0 && tally.opened > 0 {
        voice(&post, &hall, &receivers, number, &mut tally).await
    } else {
        None
    };
    let voices = voice.as_ref().map(|voice| voice.sender.clone());
    if let Some(run) = post.run().await {
        receivers.lock().start(run.start);
        let speak = async {
            if let Some(mut voice) = voice {
                voice.speak(&post, hall.pace, run).await;
            }
            post.stop().await;
        };
        let slow = async {
            match hall.slow {
                Some(slow) => slow::run(&post, slow, run, &hall, &receivers).await,
                None => post.stop().await,
            }
        };
        let until_stop = async {
            tokio::select! {
                () = speak => {}
                () = post.stop() => {}
                _ = lateness::watch(|late| receivers.lock().tally.lag.record(late)) => {}
            }
            receivers.lock().stop();
            opening::linger(&post, || receivers.lock().n_missing(&opened) == 0).await;
        };
        tokio::join!(until_stop, slow);
    }
    post.close().await;
    receivers.lock().end();
    opening::close(senders).await;
    opening::close(vec![voices]).await;
    tally += receivers.lock().take(&opened);
    tally
}

/// Opens the connection of the one who sends.
async fn voice(
    post: &Post,
    hall: &Hall,
    receivers: &Receivers,
    number: u32,
    tally: &mut Tally,
) -> Option<Voice> {
    let client = post.plan.target.client(number as usize);
    let (began, handler) = (Instant::now(), Silence(receivers.clone()));
    let sender = tally.attempted(client.connect_handler(handler).await, began.elapsed())?;
    Some(Voice {
        sender,
        number,
        pattern: post.plan.message.pattern.clone(),
        publications: hall.publications.clone(),
        receivers: receivers.clone(),
        bytes: Vec::new(),
    })
}
