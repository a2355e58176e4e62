//! `bench broadcast`: one sends, and everybody has to have it. `bench slow`: the same, and some do
//! not read.

mod publications;
mod publisher;
mod slow;
mod subscribers;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use tokio::time::sleep;

pub(super) use self::slow::Slow;
use self::{
    publications::Publications,
    publisher::{Publisher, PublisherSeat},
    subscribers::Subscribers,
};
use super::{lateness, opening, plan::Pace, stage::Post, tally::Tally};

/// How often what was delivered is shown.
const SHOW: Duration = Duration::from_millis(100);

/// What the threads have in common.
#[derive(Debug)]
pub(super) struct Channel {
    publications: Arc<Publications>,
    /// Threads whose slow consumers have come.
    n_come: AtomicUsize,
    pub(super) slow: Option<Slow>,
    pub(super) pace: Pace,
}

impl Channel {
    pub(super) fn new(pace: Pace, slow: Option<Slow>) -> Self {
        let publications = Arc::new(Publications::new(slow.is_some()));
        Self { publications, n_come: AtomicUsize::new(0), slow, pace }
    }
}

/// One thread's part. The first thread has the sender beside its subscribers.
pub(super) async fn run(post: Post, channel: Arc<Channel>) -> Tally {
    let number = post.plan.connections as u32;
    let subscribers = Subscribers::new(&post, channel.publications.clone(), number);
    let mut tally = Tally::default();
    let senders = opening::open(&post, &mut tally, |place| subscribers.seat(place)).await;
    let opened: Vec<bool> = senders.iter().map(Option::is_some).collect();
    channel.publications.join(tally.opened);
    let publisher = if post.idx == 0 && tally.opened > 0 {
        publisher(&post, &channel, &subscribers, number, &mut tally).await
    } else {
        None
    };
    let publishing = publisher.as_ref().map(|publisher| publisher.sender.clone());
    if let Some(run) = post.run().await {
        subscribers.lock().start(run.start);
        let speak = async {
            if let Some(mut publisher) = publisher {
                publisher.speak(&post, channel.pace, run).await;
            }
            post.stop().await;
        };
        let slow = async {
            match channel.slow {
                Some(slow) => slow::run(&post, slow, run, &channel, &subscribers).await,
                None => post.stop().await,
            }
        };
        let until_stop = async {
            tokio::select! {
                () = speak => {}
                () = show(&post, &subscribers) => {}
                () = post.stop() => {}
                _ = lateness::watch(|late| subscribers.lock().tally.lag.record(late)) => {}
            }
            subscribers.lock().stop();
            opening::linger(&post, || subscribers.lock().n_missing(&opened) == 0).await;
        };
        tokio::join!(until_stop, slow);
    }
    post.close().await;
    subscribers.lock().end();
    opening::close(senders).await;
    opening::close(vec![publishing]).await;
    tally += subscribers.lock().take(&opened);
    tally
}

/// Shows what was delivered, for ever.
async fn show(post: &Post, subscribers: &Subscribers) {
    loop {
        post.show_answered(subscribers.lock().tally.messages.answered);
        sleep(SHOW).await;
    }
}

/// Opens the connection of the one who sends.
async fn publisher(
    post: &Post,
    channel: &Channel,
    subscribers: &Subscribers,
    number: u32,
    tally: &mut Tally,
) -> Option<Publisher> {
    let client = post.plan.target.client(number as usize);
    let (began, handler) = (Instant::now(), PublisherSeat(subscribers.clone()));
    let sender = tally.attempted(client.connect_handler(handler).await, began.elapsed())?;
    Some(Publisher {
        sender,
        number,
        pattern: post.plan.message.pattern.clone(),
        publications: channel.publications.clone(),
        subscribers: subscribers.clone(),
        bytes: Vec::new(),
    })
}
